//! AWS's query protocol, as EC2 and STS speak it: a form goes in, XML comes back.

use super::json::Answer;
use crate::cloud::error::CloudError;
use roxmltree::{Document, Node};
use serde_json::{Value, json};

/// The form of a call: its action, the API's version, and members as the API Reference spells them ("Filter.1.Name").
#[must_use]
pub fn form(action: &str, version: &str, members: &[(String, String)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action);
    form.append_pair("Version", version);
    form.extend_pairs(members);
    form.finish()
}

/// An error as the JSON protocols would tell it; none where it is no such XML. ("Query requests for Amazon EC2", Error
/// responses: Response, Errors, Error with Code and Message.)
#[must_use]
pub fn error(body: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(body).ok()?;
    let document = Document::parse(text).ok()?;
    let error = document.descendants().find(|n| n.has_tag_name("Error"))?;
    Some(json!({"code": text_of(error, "Code")?, "message": text_of(error, "Message")}))
}

/// What `read` makes of each item of the list that the answer has in `set`.
///
/// # Errors
/// `Unreadable` where it is no XML, or has no such list.
pub fn items<T>(
    answer: &Answer,
    set: &str,
    read: impl Fn(Node<'_, '_>) -> Option<T>,
) -> Result<Vec<T>, CloudError> {
    let text = std::str::from_utf8(answer.body()).unwrap_or_default();
    let document = Document::parse(text).map_err(|_| answer.lacks("XML"))?;
    let list = document
        .root_element()
        .children()
        .find(|node| node.has_tag_name(set));
    let list = list.ok_or_else(|| answer.lacks(set))?;
    let items = list.children().filter(|node| node.has_tag_name("item"));
    Ok(items.filter_map(read).collect())
}

/// The text of an element's child.
#[must_use]
pub fn text_of<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim)
}

/// The text of the first such element of an answer, wherever it stands; none where it is no XML.
#[must_use]
pub fn anywhere(body: &[u8], name: &str) -> Option<String> {
    let document = Document::parse(std::str::from_utf8(body).ok()?).ok()?;
    let found = document.descendants().find(|n| n.has_tag_name(name))?;
    Some(found.text()?.trim().to_owned())
}

/// An element's child; the namespace has the API's version in it and is no help.
#[must_use]
pub fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_ec2_is_read_and_a_page_of_something_else_is_none() {
        let xml = br#"<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>UnauthorizedOperation</Code>
            <Message>You are not authorized &amp; so on.</Message></Error></Errors><RequestID>r</RequestID></Response>"#;
        let error = super::error(xml);
        let told =
            json!({"code": "UnauthorizedOperation", "message": "You are not authorized & so on."});
        assert_eq!(error, Some(told));
        for other in [&b"<html>502</html>"[..], b"{}", b"", b"<Response>"] {
            assert_eq!(super::error(other), None);
        }
    }

    #[test]
    fn a_form_is_escaped() {
        let members = [("Filter.1.Value.1".to_owned(), "a b&c".to_owned())];
        assert_eq!(
            form("DescribeNetworkInterfaces", "2016-11-15", &members),
            "Action=DescribeNetworkInterfaces&Version=2016-11-15&Filter.1.Value.1=a+b%26c"
        );
    }
}
