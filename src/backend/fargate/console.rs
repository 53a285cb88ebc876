//! The way into AWS's own console.

/// A task's page, by the task's ARN; none for an ARN that names no cluster, or a partition whose console is not known.
///
/// The consoles' hosts are those of <https://docs.aws.amazon.com/general/latest/gr/mgmt-console.html>.
#[must_use]
pub fn page(arn: &str) -> Option<String> {
    let mut fields = arn.splitn(6, ':');
    let (_, partition, _, region, _, resource) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let domain = match partition {
        "aws" => "console.aws.amazon.com",
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        _ => return None,
    };
    let [kind, cluster, task] = resource.split('/').collect::<Vec<_>>().try_into().ok()?;
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    (kind == "task" && [region, cluster, task].into_iter().all(plain)).then(|| {
        format!("https://{region}.{domain}/ecs/v2/clusters/{cluster}/tasks/{task}/configuration?region={region}")
    })
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn a_tasks_page_is_told_by_its_arn() {
        assert_eq!(
            page("arn:aws:ecs:eu-west-1:123456789012:task/lab/0123abcd").as_deref(),
            Some(
                "https://eu-west-1.console.aws.amazon.com/ecs/v2/clusters/lab/tasks/0123abcd/configuration?region=eu-west-1"
            )
        );
        assert!(
            page("arn:aws-cn:ecs:cn-north-1:1:task/lab/0123abcd")
                .is_some_and(|page| page.starts_with("https://cn-north-1.console.amazonaws.cn/"))
        );
    }

    #[test]
    fn what_names_no_page_gives_none() {
        for arn in [
            "",
            "arn:aws:ecs:eu-west-1:1:task/0123abcd",
            "arn:aws:ecs:eu-west-1:1:service/lab/0123abcd",
            "arn:aws:ecs:evil.example/:1:task/lab/0123abcd",
            "arn:aws:ecs:eu-west-1:1:task/lab/a?b",
            "arn:elsewhere:ecs:eu-west-1:1:task/lab/0123abcd",
        ] {
            assert_eq!(page(arn), None, "{arn}");
        }
    }
}
