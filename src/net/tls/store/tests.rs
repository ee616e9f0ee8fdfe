use proptest::prelude::*;

use super::*;
use crate::net::tls::certificate::Names;

/// The stores that `tests/data/stores/make` made, all of one authority and one client's key.
macro_rules! store {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/stores/", $name)).as_slice()
    };
}

const PASSWORD: Option<&str> = Some("changeit");

fn ca() -> CertificateDer<'static> {
    trusted(StoreFormat::Pem, store!("ca.pem"), None).unwrap().remove(0)
}

/// The key as OpenSSL wrote it without a password.
fn expected() -> Identity {
    identity(StoreFormat::Pem, store!("key.pem"), None, None).unwrap()
}

#[test]
fn trust_stores_of_all_makers_say_the_same() {
    for (name, bytes) in [
        ("keytool's JKS", store!("trust.jks")),
        ("keytool's PKCS#12", store!("trust.p12")),
        ("keytool's PKCS#12 of before Java 12", store!("trust.legacy.p12")),
        ("OpenSSL's PKCS#12", store!("trust.openssl.p12")),
    ] {
        assert_eq!(trusted(StoreFormat::Binary, bytes, PASSWORD).unwrap(), [ca()], "{name}");
        assert_eq!(trusted(StoreFormat::Binary, bytes, Some("changed")), Err(StoreError::WrongPassword), "{name}");
        let error = identity(StoreFormat::Binary, bytes, PASSWORD, None).unwrap_err();
        assert_eq!(error, StoreError::Lacks("private key"), "{name}");
    }
    // As in Java, a JKS store's certificates can be read without its password, encrypted ones can't.
    assert_eq!(trusted(StoreFormat::Binary, store!("trust.jks"), None).unwrap(), [ca()]);
    assert_eq!(trusted(StoreFormat::Binary, store!("trust.p12"), None), Err(StoreError::NoPassword));
}

#[test]
fn key_stores_of_all_makers_hold_the_same_key() {
    let expected = expected();
    for (name, bytes) in [
        ("keytool's JKS", store!("key.jks")),
        ("keytool's PKCS#12", store!("key.p12")),
        ("OpenSSL 3's PKCS#12", store!("key.openssl.p12")),
        ("OpenSSL 1's PKCS#12", store!("key.legacy.p12")),
        ("PKCS#12 with RC2 of 128 bits and two keys of DES", store!("key.odd.p12")),
    ] {
        let found = identity(StoreFormat::Binary, bytes, PASSWORD, None).unwrap();
        assert_eq!(found.key, expected.key, "{name}");
        assert_eq!(found.chain, expected.chain, "{name}: the key's own certificate is the first");
        let error = identity(StoreFormat::Binary, bytes, Some("changed"), None).unwrap_err();
        assert_eq!(error, StoreError::WrongPassword, "{name}");
    }
}

#[test]
fn a_key_may_have_a_password_of_its_own() {
    let expected = expected();
    let keypass = Some("keypass");
    let found = identity(StoreFormat::Binary, store!("key-password.jks"), PASSWORD, keypass).unwrap();
    assert_eq!(found.key, expected.key);
    let error = identity(StoreFormat::Binary, store!("key-password.jks"), PASSWORD, None).unwrap_err();
    assert_eq!(error, StoreError::WrongPassword);
    for (name, bytes) in [
        ("AES-256", store!("key-password.pem")),
        ("AES-128", store!("key-aes128.pem")),
        ("AES-192", store!("key-aes192.pem")),
        ("triple DES", store!("key-des3.pem")),
    ] {
        assert_eq!(identity(StoreFormat::Pem, bytes, None, keypass).unwrap().key, expected.key, "{name}");
        let error = identity(StoreFormat::Pem, bytes, None, Some("changed")).unwrap_err();
        assert_eq!(error, StoreError::WrongPassword, "{name}");
        let error = identity(StoreFormat::Pem, bytes, None, None).unwrap_err();
        assert_eq!(error, StoreError::NoPassword, "{name}");
    }
}

/// A store that has a key trusts what is marked as trusted and the key's own certificate, but not who vouches for that.
#[test]
fn a_key_store_trusts_only_its_own() {
    let expected = expected();
    let found = trusted(StoreFormat::Binary, store!("key.p12"), PASSWORD).unwrap();
    assert_eq!(found, expected.chain[..1]);
    let found = trusted(StoreFormat::Binary, store!("key.jks"), PASSWORD).unwrap();
    assert_eq!(found, [ca(), expected.chain[0].clone()]);
}

#[test]
fn another_format_is_called_by_its_name() {
    let read = |format, bytes| trusted(format, bytes, PASSWORD).unwrap_err().to_string();
    assert_eq!(read(StoreFormat::Binary, store!("ca.pem")), "it is PEM, not PKCS12 or JKS");
    assert_eq!(read(StoreFormat::Pem, store!("trust.jks")), "it is a JKS store, not PEM");
    assert_eq!(read(StoreFormat::Binary, b"hello"), "it is something else, not PKCS12 or JKS");
    assert_eq!(read(StoreFormat::Binary, &[0xce; 30]), "it is a JCEKS store, not PKCS12 or JKS");
}

#[test]
fn names_of_a_certificate_are_found() {
    let chain = expected().chain;
    let (client, authority) = (Names::of(&chain[0]).unwrap(), Names::of(&chain[1]).unwrap());
    assert_eq!(client.issuer, authority.subject);
    assert_eq!((client.common_name, authority.common_name), (Some("client"), Some("Test CA")));
    assert_eq!(client.dns_names, ["client.example", "*.client.example"]);
    assert_eq!(authority.dns_names, [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Damage is refused or not noticed, and never more than that.
    #[test]
    fn damaged_stores_are_read_or_refused(at in 0usize..4000, byte: u8, cut in 0usize..4000) {
        // Without a password the damage is not hidden by the signature.
        let stores = [store!("key.jks"), store!("trust.jks"), store!("trust.openssl.p12"), store!("key.odd.p12")];
        for store in stores {
            let mut bytes = store.to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            fuzz(&bytes);
            bytes.truncate(cut % bytes.len());
            fuzz(&bytes);
        }
    }

    #[test]
    fn any_bytes_behind_the_magic_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz(&[&jks::MAGIC, &[0, 0, 0, 2], bytes.as_slice()].concat());
    }
}
