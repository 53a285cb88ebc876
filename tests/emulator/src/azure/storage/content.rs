//! What is in a share: directories and files, in memory.

use axum::body::Bytes;
use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::files::{self, FileError, METADATA};
use super::state::Share;
use crate::azure::call::{Incoming, Reply, field};
use crate::clock::http_date;

/// Of a share, by its path.
#[derive(Clone, Debug)]
pub enum Entry {
    Directory,
    File {
        bytes: Vec<u8>,
        metadata: Map<String, Value>,
    },
}

const BYTES_A_GIB: u64 = 1 << 30;

/// One call for a file or directory.
pub struct Content<'a> {
    pub share: &'a mut Share,
    pub incoming: &'a Incoming,
    pub path: &'a str,
}

fn not_found() -> FileError {
    FileError::not_found("ResourceNotFound", "The specified resource does not exist.")
}

fn conflict(code: &'static str, message: &'static str) -> FileError {
    FileError::new(StatusCode::CONFLICT, code, message)
}

fn bad_range() -> FileError {
    FileError::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "InvalidRange",
        "The range specified is invalid for the current size of the resource.",
    )
}

impl Content<'_> {
    pub fn act(mut self, operation: &str) -> Result<Reply, FileError> {
        match operation {
            "directories.create" => self.create_directory(),
            "directories.get" => self.directory().map(|()| self.marked(StatusCode::OK)),
            "directories.list" => self.list(),
            "directories.delete" => self.delete_directory(),
            "files.create" => self.create_file(),
            "files.put_range" => self.put_range(),
            "files.get" => self.get(),
            "files.head" => self.head(),
            "files.delete" => {
                self.file()?;
                self.share.entries.remove(self.path);
                Ok(Reply::empty(StatusCode::ACCEPTED))
            }
            _ => Err(FileError::new(
                StatusCode::BAD_REQUEST,
                "UnsupportedQueryParameter",
                "The emulator has no such operation.",
            )),
        }
    }

    fn marked(&self, status: StatusCode) -> Reply {
        let at = self.incoming.at_ms;
        Reply::empty(status).with(vec![
            ("etag", self.share.etag()),
            ("last-modified", http_date(at)),
            ("x-ms-request-server-encrypted", "true".to_owned()),
            ("x-ms-file-attributes", "None".to_owned()),
            ("x-ms-file-id", "1".to_owned()),
            ("x-ms-file-parent-id", "0".to_owned()),
        ])
    }

    fn directory(&self) -> Result<(), FileError> {
        match self.share.entries.get(self.path) {
            None if self.path.is_empty() => Ok(()),
            Some(Entry::Directory) => Ok(()),
            _ => Err(not_found()),
        }
    }

    fn file(&self) -> Result<(&Vec<u8>, &Map<String, Value>), FileError> {
        match self.share.entries.get(self.path) {
            Some(Entry::File { bytes, metadata }) => Ok((bytes, metadata)),
            _ => Err(not_found()),
        }
    }

    fn parent_is_there(&self) -> Result<(), FileError> {
        match self.path.rsplit_once('/') {
            Some((parent, _))
                if !matches!(self.share.entries.get(parent), Some(Entry::Directory)) =>
            {
                Err(FileError::not_found(
                    "ParentNotFound",
                    "The specified parent path does not exist.",
                ))
            }
            _ => Ok(()),
        }
    }

    fn create_directory(&mut self) -> Result<Reply, FileError> {
        self.parent_is_there()?;
        if self.path.is_empty() || self.share.entries.contains_key(self.path) {
            return Err(conflict(
                "ResourceAlreadyExists",
                "The specified resource already exists.",
            ));
        }
        self.share
            .entries
            .insert(self.path.to_owned(), Entry::Directory);
        Ok(self.marked(StatusCode::CREATED))
    }

    fn children(&self) -> impl Iterator<Item = (&str, &Entry)> {
        let prefix = if self.path.is_empty() {
            String::new()
        } else {
            format!("{}/", self.path)
        };
        self.share
            .entries
            .iter()
            .filter_map(move |(path, entry)| Some((path.strip_prefix(&prefix)?, entry)))
            .filter(|(name, _)| !name.contains('/'))
    }

    fn delete_directory(&mut self) -> Result<Reply, FileError> {
        self.directory()?;
        if self.children().next().is_some() {
            return Err(conflict(
                "DirectoryNotEmpty",
                "The specified directory is not empty.",
            ));
        }
        self.share.entries.remove(self.path);
        Ok(Reply::empty(StatusCode::ACCEPTED))
    }

    /// All on one page.
    fn list(&self) -> Result<Reply, FileError> {
        self.directory()?;
        let prefix = field(&self.incoming.query, "prefix");
        let mut items = Vec::new();
        for (name, entry) in self.children().filter(|(name, _)| name.starts_with(prefix)) {
            let name = escape(name);
            items.push(match entry {
                Entry::Directory => format!("<Directory><Name>{name}</Name><Properties></Properties></Directory>"),
                Entry::File { bytes, .. } => format!(
                    "<File><Name>{name}</Name><Properties><Content-Length>{}</Content-Length></Properties></File>",
                    bytes.len()
                ),
            });
        }
        let items = items.concat();
        Ok(xml(&format!(
            "<EnumerationResults><Entries>{items}</Entries><NextMarker/></EnumerationResults>"
        )))
    }

    /// A file that is there is replaced, as "Create File" says. It has its length from the start.
    fn create_file(&mut self) -> Result<Reply, FileError> {
        let length: usize = self
            .incoming
            .header("x-ms-content-length")
            .and_then(|length| length.parse().ok())
            .ok_or_else(|| {
                FileError::new(
                    StatusCode::BAD_REQUEST,
                    "MissingRequiredHeader",
                    "An HTTP header that's mandatory for this request is not specified.",
                )
            })?;
        self.parent_is_there()?;
        if matches!(self.share.entries.get(self.path), Some(Entry::Directory)) {
            return Err(conflict(
                "ResourceTypeMismatch",
                "The specified resource type does not match the type of the existing resource.",
            ));
        }
        let used: usize = self
            .share
            .entries
            .values()
            .map(|entry| {
                if let Entry::File { bytes, .. } = entry {
                    bytes.len()
                } else {
                    0
                }
            })
            .sum();
        if (used + length) as u64 > self.share.quota_gib * BYTES_A_GIB {
            return Err(conflict(
                "ShareSizeLimitReached",
                "The share size limit was reached.",
            ));
        }
        let metadata = files::metadata(self.incoming)?;
        let bytes = vec![0; length];
        self.share
            .entries
            .insert(self.path.to_owned(), Entry::File { bytes, metadata });
        self.share.version += 1;
        Ok(self.marked(StatusCode::CREATED))
    }

    /// The first and the last byte that `x-ms-range` or `Range` names.
    fn range(&self) -> Result<Option<(usize, usize)>, FileError> {
        let header = |name| self.incoming.header(name);
        let Some(given) = header("x-ms-range").or_else(|| header("range")) else {
            return Ok(None);
        };
        let (first, last) = given
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'))
            .ok_or_else(bad_range)?;
        let first = first.parse().map_err(|_| bad_range())?;
        let last = if last.is_empty() {
            usize::MAX - 1
        } else {
            last.parse().map_err(|_| bad_range())?
        };
        Ok(Some((first, last)))
    }

    fn put_range(&mut self) -> Result<Reply, FileError> {
        let (first, last) = self.range()?.ok_or_else(bad_range)?;
        let given = self.incoming.bytes.clone();
        let clears = self.incoming.header("x-ms-write") == Some("clear");
        let Some(Entry::File { bytes, .. }) = self.share.entries.get_mut(self.path) else {
            return Err(not_found());
        };
        let into = bytes.get_mut(first..=last).ok_or_else(bad_range)?;
        if clears {
            into.fill(0);
        } else if into.len() == given.len() {
            into.copy_from_slice(&given);
        } else {
            return Err(bad_range());
        }
        self.share.version += 1;
        Ok(self.marked(StatusCode::CREATED))
    }

    fn get(&self) -> Result<Reply, FileError> {
        let (bytes, metadata) = self.file()?;
        let (status, body, range) = match self.range()? {
            None => (StatusCode::OK, bytes.as_slice(), None),
            Some((first, last)) => {
                let end = (last + 1).min(bytes.len());
                let part = bytes
                    .get(first..end)
                    .filter(|part| !part.is_empty())
                    .ok_or_else(bad_range)?;
                let shown = format!("bytes {first}-{}/{}", end - 1, bytes.len());
                (
                    StatusCode::PARTIAL_CONTENT,
                    part,
                    Some(("content-range", shown)),
                )
            }
        };
        let mut reply = self.marked(status).with(range.into_iter().collect());
        reply.body = Bytes::copy_from_slice(body);
        reply.content_type = "application/octet-stream";
        reply.extra = metadata_headers(metadata);
        Ok(reply)
    }

    fn head(&self) -> Result<Reply, FileError> {
        let (bytes, metadata) = self.file()?;
        let mut reply = self.marked(StatusCode::OK).with(vec![
            ("content-length", bytes.len().to_string()),
            ("x-ms-type", "File".to_owned()),
        ]);
        reply.extra = metadata_headers(metadata);
        Ok(reply)
    }
}

pub fn metadata_headers(metadata: &Map<String, Value>) -> Vec<(String, String)> {
    metadata
        .iter()
        .map(|(name, value)| {
            (
                format!("{METADATA}{name}"),
                value.as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

pub fn xml(body: &str) -> Reply {
    Reply {
        content_type: "application/xml",
        ..Reply::html(format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>{body}"))
    }
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

/// A path with its escapes undone.
pub fn decode(path: &str) -> String {
    let text = path
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    form_urlencoded::parse(text.as_bytes())
        .next()
        .map_or_else(String::new, |(path, _)| path.into_owned())
}
