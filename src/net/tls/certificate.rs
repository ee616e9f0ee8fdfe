//! The names in an X.509 certificate, as far as TLS asks for them (RFC 5280).

use super::StoreError;
use super::store::der::{CONTEXT_0, CONTEXT_3, Der, INTEGER, OBJECT_ID, OCTET_STRING, SEQUENCE, SET};

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// A DNS name among alternative names: `[2]`, bytes.
const DNS_NAME: u8 = 0x82;

/// Whose certificate it is and who signed it.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    /// Who signed it, encoded.
    pub(crate) issuer: &'a [u8],
    /// Whose it is, encoded.
    pub(crate) subject: &'a [u8],
    /// The last common name of the subject.
    pub(crate) common_name: Option<&'a str>,
    /// The DNS names for which it is.
    pub(crate) dns_names: Vec<&'a str>,
}

impl<'a> Names<'a> {
    /// The names in a certificate.
    pub(crate) fn of(certificate: &'a [u8]) -> Result<Self, StoreError> {
        let mut fields = Der::new(certificate).enter(SEQUENCE)?.enter(SEQUENCE)?;
        let _version = fields.optional(CONTEXT_0)?;
        let _serial = fields.take(INTEGER)?;
        let _signature = fields.take(SEQUENCE)?;
        let issuer = fields.take(SEQUENCE)?;
        let _validity = fields.take(SEQUENCE)?;
        let subject = fields.take(SEQUENCE)?;
        let _key = fields.take(SEQUENCE)?;
        let mut dns_names = Vec::new();
        while !fields.is_empty() {
            let field = fields.next()?;
            if field.tag == CONTEXT_3 {
                dns_names = alternative_names(Der::new(field.content).enter(SEQUENCE)?)?;
            }
        }
        Ok(Self { issuer, subject, common_name: common_name(Der::new(subject))?, dns_names })
    }
}

fn common_name(mut subject: Der<'_>) -> Result<Option<&str>, StoreError> {
    let mut found = None;
    while !subject.is_empty() {
        let mut set = subject.enter(SET)?;
        while !set.is_empty() {
            let mut attribute = set.enter(SEQUENCE)?;
            if attribute.take(OBJECT_ID)? == COMMON_NAME {
                found = std::str::from_utf8(attribute.next()?.content).ok().or(found);
            }
        }
    }
    Ok(found)
}

fn alternative_names(mut extensions: Der<'_>) -> Result<Vec<&str>, StoreError> {
    let mut found = Vec::new();
    while !extensions.is_empty() {
        let mut extension = extensions.enter(SEQUENCE)?;
        if extension.take(OBJECT_ID)? != SUBJECT_ALTERNATIVE_NAME {
            continue;
        }
        // Whether it is critical may stand in between.
        let mut value = extension.next()?;
        if value.tag != OCTET_STRING {
            value = extension.next()?;
        }
        let mut names = Der::new(value.content).enter(SEQUENCE)?;
        while !names.is_empty() {
            let name = names.next()?;
            if name.tag == DNS_NAME {
                found.extend(std::str::from_utf8(name.content));
            }
        }
    }
    Ok(found)
}

/// Whether a name of a certificate, perhaps with `*` as its first label, means this host.
pub(crate) fn name_matches(pattern: &str, host: &str) -> bool {
    let wildcard = pattern.strip_prefix("*.").filter(|rest| rest.contains('.'));
    match (wildcard, host.split_once('.')) {
        (Some(rest), Some((_, host_rest))) => rest.eq_ignore_ascii_case(host_rest),
        _ => pattern.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        for (pattern, host, expected) in [
            ("broker.example", "Broker.Example", true),
            ("*.example.org", "a.example.org", true),
            ("*.example.org", "a.b.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.org", "example.org", false),
            ("*", "example", false),
            ("b", "a", false),
        ] {
            assert_eq!(name_matches(pattern, host), expected, "{pattern} {host}");
        }
    }
}
