//! The answer to "List Blobs".

use std::fmt::Write;
use std::time::SystemTime;

use super::store::Container;

/// All blobs whose name begins with `prefix`, in one page.
pub(super) fn document(name: &str, container: &Container, prefix: &str, now: SystemTime) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>");
    let _ = write!(
        xml,
        "<EnumerationResults ServiceEndpoint=\"/\" ContainerName=\"{}\">",
        escaped(name)
    );
    let _ = write!(xml, "<Prefix>{}</Prefix><Blobs>", escaped(prefix));
    for (name, blob) in container.blobs.iter().filter(|(name, _)| name.starts_with(prefix)) {
        let state = blob.lease.state(now);
        // Writing to a string cannot fail.
        let _ = write!(
            xml,
            "<Blob><Name>{}</Name><Properties><Creation-Time>{}</Creation-Time><Last-Modified>{}</Last-Modified>\
             <Etag>{}</Etag><Content-Length>{}</Content-Length><Content-Type>{}</Content-Type>\
             <BlobType>BlockBlob</BlobType><LeaseStatus>{}</LeaseStatus><LeaseState>{}</LeaseState>\
             </Properties></Blob>",
            escaped(name),
            httpdate::fmt_http_date(blob.created),
            httpdate::fmt_http_date(blob.last_modified),
            blob.etag.trim_matches('"'),
            blob.content.len(),
            escaped(&blob.content_type),
            if state.is_locked() { "locked" } else { "unlocked" },
            state.text(),
        );
    }
    xml.push_str("</Blobs><NextMarker /></EnumerationResults>");
    xml
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
