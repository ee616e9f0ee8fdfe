//! Encodings of text, by the names that Java has for them.

/// An encoding: those that every Java has, and two of Western Europe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    Utf8,
    Ascii,
    Latin1,
    /// Big-endian unless a byte order mark says otherwise.
    Utf16,
    Utf16Be,
    Utf16Le,
    /// ISO 8859-15.
    Latin9,
    Windows1252,
}

/// Java's names, the canonical one first.
const NAMES: [(Charset, &[&str]); 8] = [
    (Charset::Utf8, &["UTF-8", "UTF8"]),
    (Charset::Ascii, &["US-ASCII", "ASCII", "ASCII7", "ISO646-US", "646", "cp367"]),
    (
        Charset::Latin1,
        &["ISO-8859-1", "ISO8859_1", "ISO8859-1", "ISO_8859-1", "8859_1", "latin1", "l1", "cp819", "IBM819"],
    ),
    (Charset::Utf16, &["UTF-16", "UTF_16", "utf16", "unicode", "UnicodeBig"]),
    (Charset::Utf16Be, &["UTF-16BE", "UTF_16BE", "X-UTF-16BE", "ISO-10646-UCS-2", "UnicodeBigUnmarked"]),
    (Charset::Utf16Le, &["UTF-16LE", "UTF_16LE", "X-UTF-16LE", "UnicodeLittleUnmarked"]),
    (
        Charset::Latin9,
        &["ISO-8859-15", "ISO8859_15", "ISO8859-15", "ISO_8859-15", "8859_15", "Latin9", "Latin-9", "L9"],
    ),
    (Charset::Windows1252, &["windows-1252", "cp1252", "ibm-1252", "ibm1252"]),
];

const BYTE_ORDER_MARK: u16 = 0xfeff;

/// What windows-1252 has where ISO 8859-1 has control characters, from 0x80 on; 0 for nothing.
const WINDOWS_1252: [u16; 32] = [
    0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0, 0,
    0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
];

/// Where ISO 8859-15 is not ISO 8859-1.
const LATIN_9: [(u8, char); 8] =
    [(0xa4, '€'), (0xa6, 'Š'), (0xa8, 'š'), (0xb4, 'Ž'), (0xb8, 'ž'), (0xbc, 'Œ'), (0xbd, 'œ'), (0xbe, 'Ÿ')];

impl Charset {
    /// The encoding of this name, in any case of its letters.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let is_named = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        NAMES.iter().find(|(_, names)| is_named(names)).map(|(charset, _)| *charset)
    }

    /// The names of those that there are.
    pub(crate) fn known() -> String {
        let names: Vec<&str> = NAMES.iter().filter_map(|(_, names)| names.first().copied()).collect();
        names.join(", ")
    }

    /// The text of `bytes`. As in Java, what is none becomes U+FFFD.
    pub(crate) fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Utf16 => match bytes.split_first_chunk() {
                Some((mark, rest)) if *mark == BYTE_ORDER_MARK.to_le_bytes() => decode_utf16(rest, u16::from_le_bytes),
                Some((mark, rest)) if *mark == BYTE_ORDER_MARK.to_be_bytes() => decode_utf16(rest, u16::from_be_bytes),
                _ => decode_utf16(bytes, u16::from_be_bytes),
            },
            Self::Utf16Be => decode_utf16(bytes, u16::from_be_bytes),
            Self::Utf16Le => decode_utf16(bytes, u16::from_le_bytes),
            Self::Ascii | Self::Latin1 | Self::Latin9 | Self::Windows1252 => {
                bytes.iter().map(|byte| self.letter(*byte).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
        }
    }

    /// The bytes of `text`. As in Java, a letter that the encoding has not got becomes a question mark, and UTF-16 begins
    /// with a byte order mark.
    pub(crate) fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16 if text.is_empty() => Vec::new(),
            Self::Utf16 => {
                std::iter::once(BYTE_ORDER_MARK).chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect()
            }
            Self::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Ascii | Self::Latin1 | Self::Latin9 | Self::Windows1252 => {
                text.chars().map(|letter| self.byte(letter).unwrap_or(b'?')).collect()
            }
        }
    }

    /// The letter of a byte, in an encoding where each has its own.
    fn letter(self, byte: u8) -> Option<char> {
        match self {
            Self::Ascii => byte.is_ascii().then_some(char::from(byte)),
            Self::Windows1252 if (0x80..0xa0).contains(&byte) => {
                let letter = *WINDOWS_1252.get(usize::from(byte) - 0x80)?;
                char::from_u32(u32::from(letter)).filter(|letter| *letter != '\0')
            }
            Self::Latin9 => {
                let other = LATIN_9.iter().find(|(of, _)| *of == byte);
                Some(other.map_or(char::from(byte), |(_, letter)| *letter))
            }
            _ => Some(char::from(byte)),
        }
    }

    fn byte(self, letter: char) -> Option<u8> {
        // Most letters are where ISO 8859-1 has them.
        let likely = u8::try_from(u32::from(letter)).ok().filter(|byte| self.letter(*byte) == Some(letter));
        likely.or_else(|| (0x80..=0xff).find(|byte| self.letter(*byte) == Some(letter)))
    }
}

/// Text of 16-bit units. As Java does it: a first half of a pair without its second takes the unit behind it along, and a
/// reversed byte order mark is no letter.
fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    const REVERSED_MARK: u16 = BYTE_ORDER_MARK.swap_bytes();
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut units = pairs.iter().map(|pair| unit(*pair));
    let mut text = String::with_capacity(bytes.len());
    while let Some(first) = units.next() {
        let letter = match first {
            0xd800..=0xdbff => {
                let pair = [first, units.next().unwrap_or(0)];
                char::decode_utf16(pair).next().and_then(Result::ok)
            }
            REVERSED_MARK => None,
            _ => char::from_u32(u32::from(first)),
        };
        text.push(letter.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    if !rest.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charset(name: &str) -> Charset {
        Charset::named(name).unwrap()
    }

    #[test]
    fn names_are_javas_in_any_case() {
        for (name, wanted) in [
            ("utf-8", Charset::Utf8),
            ("latin1", Charset::Latin1),
            ("ISO8859_1", Charset::Latin1),
            ("Cp1252", Charset::Windows1252),
            ("UTF-16le", Charset::Utf16Le),
        ] {
            assert_eq!(Charset::named(name), Some(wanted), "{name}");
        }
        assert_eq!(Charset::named("EBCDIC"), None);
        assert!(Charset::known().split(", ").all(|name| Charset::named(name).is_some()));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for name in Charset::known().split(", ") {
            let text = match charset(name) {
                Charset::Ascii => "plain",
                Charset::Latin1 => "grün ÿ ¤",
                Charset::Latin9 | Charset::Windows1252 => "grün € Œ",
                _ => "grün € 𝄞 \u{feff}x",
            };
            assert_eq!(charset(name).decode(&charset(name).encode(text)), text, "{name}");
        }
    }

    /// As `String.getBytes` and `new String` of Java 17 have them.
    #[test]
    fn bytes_are_javas() {
        assert_eq!(charset("UTF-16").encode("hé"), b"\xfe\xff\0h\0\xe9");
        assert_eq!(charset("UTF-16").encode(""), b"");
        assert_eq!(charset("UTF-16").decode(b"\0h\0i"), "hi");
        assert_eq!(charset("UTF-16").decode(b"\xff\xfeh\0i\0"), "hi");
        assert_eq!(charset("UTF-16LE").decode(b"\xff\xfeh\0"), "\u{feff}h");
        assert_eq!(charset("latin1").encode("a€"), b"a?");
        assert_eq!(charset("latin1").decode(b"\x80\xe9"), "\u{80}é");
        assert_eq!(charset("ascii").decode(b"a\xe9"), "a\u{fffd}");
        assert_eq!(charset("ascii").encode("é"), b"?");
        assert_eq!(charset("ISO-8859-15").decode(b"\xa4\xe9"), "€é");
        assert_eq!(charset("windows-1252").decode(b"\x80\x81\xe9"), "€\u{fffd}é");
        assert_eq!(charset("windows-1252").encode("€\u{81}"), b"\x80?");
    }

    #[test]
    fn halves_of_pairs_and_of_units_are_no_letters() {
        let decode = |bytes: &[u8]| charset("UTF-16BE").decode(bytes);
        assert_eq!(decode(b"\0a\0"), "a\u{fffd}");
        assert_eq!(decode(b"\xdc\0\0a"), "\u{fffd}a");
        assert_eq!(decode(b"\xd8\x34\0a\0b"), "\u{fffd}b");
        assert_eq!(decode(b"\xd8\x34"), "\u{fffd}");
        assert_eq!(decode(b"\xff\xfe\0a"), "\u{fffd}a");
    }
}
