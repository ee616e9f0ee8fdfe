//! `sasl.jaas.config`, read as Kafka reads it: `Module flag key=value ...;` in the words of Java's `StreamTokenizer`.

use std::collections::BTreeMap;

/// A login module and what it is told.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct LoginModule {
    /// Its class.
    pub(super) class: String,
    /// Its options.
    pub(super) options: BTreeMap<String, String>,
}

impl std::fmt::Debug for LoginModule {
    /// Without what must stay secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginModule").field("class", &self.class).finish_non_exhaustive()
    }
}

/// Reads the modules; the error is Kafka's text.
pub(super) fn parse(text: &str) -> Result<Vec<LoginModule>, String> {
    let mut tokens = Tokens { text: text.chars().collect(), at: 0 };
    let mut modules = Vec::new();
    loop {
        match tokens.next() {
            Token::End if modules.is_empty() => return Err("Login module not specified in JAAS config".to_owned()),
            Token::End => return Ok(modules),
            first => modules.push(module(first, &mut tokens)?),
        }
    }
}

fn module(first: Token, tokens: &mut Tokens) -> Result<LoginModule, String> {
    let class = first.text().unwrap_or_else(|| "null".to_owned());
    match tokens.next() {
        Token::End => return Err("Login module control flag not specified in JAAS config".to_owned()),
        token => match token.text() {
            None => return Err("Login module control flag is not available in the JAAS config".to_owned()),
            Some(flag)
                if ["required", "requisite", "sufficient", "optional"]
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(&flag)) => {}
            Some(flag) => return Err(format!("Invalid login module control flag '{flag}' in JAAS config")),
        },
    }
    let mut options = BTreeMap::new();
    loop {
        let key = match tokens.next() {
            Token::End => return Err("JAAS config entry not terminated by semi-colon".to_owned()),
            Token::Sign(';') => return Ok(LoginModule { class, options }),
            token => token.text(),
        };
        let equals = tokens.next() == Token::Sign('=');
        // A value that begins with a digit is a number to Java, which Kafka does not take: it must stand in quotes.
        let value = if equals { tokens.next().text() } else { None };
        match (key, value) {
            (Some(key), Some(value)) => options.insert(key, value),
            (key, _) => {
                let key = key.unwrap_or_else(|| "null".to_owned());
                return Err(format!("Value not specified for key '{key}' in JAAS config"));
            }
        };
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    Number,
    Sign(char),
    End,
}

impl Token {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Java's `StreamTokenizer`, set as Kafka sets it.
struct Tokens {
    text: Vec<char>,
    at: usize,
}

impl Tokens {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn skip_while(&mut self, condition: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&condition) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Token {
        loop {
            self.skip_while(|one| one <= ' ');
            let Some(first) = self.peek(0) else { return Token::End };
            match first {
                '/' if self.peek(1) == Some('*') => self.skip_comment(),
                '/' => self.skip_while(|one| !matches!(one, '\n' | '\r')),
                '"' | '\'' => return self.quoted(first),
                '0'..='9' | '.' | '-' => return self.number(first),
                _ if is_letter(first) => {
                    let start = self.at;
                    self.skip_while(|one| is_letter(one) || matches!(one, '0'..='9' | '.'));
                    return Token::Text(self.text.get(start..self.at).unwrap_or_default().iter().collect());
                }
                _ => {
                    self.at += 1;
                    return Token::Sign(first);
                }
            }
        }
    }

    fn skip_comment(&mut self) {
        self.at += 2;
        while self.peek(0).is_some() && !(self.peek(0) == Some('*') && self.peek(1) == Some('/')) {
            self.at += 1;
        }
        self.at = (self.at + 2).min(self.text.len());
    }

    /// Digits with at most one point among them, perhaps behind a minus; a minus alone is a sign.
    fn number(&mut self, first: char) -> Token {
        if first == '-' {
            self.at += 1;
            if !self.peek(0).is_some_and(|one| one == '.' || one.is_ascii_digit()) {
                return Token::Sign('-');
            }
        }
        let start = self.at;
        let mut points = 0;
        while let Some(one) = self.peek(0).filter(|one| one.is_ascii_digit() || *one == '.' && points == 0) {
            points += usize::from(one == '.');
            self.at += 1;
        }
        if self.at == start + 1 && points == 1 { Token::Sign('.') } else { Token::Number }
    }

    /// Up to the same quote, or the end of the line.
    fn quoted(&mut self, quote: char) -> Token {
        self.at += 1;
        let mut text = String::new();
        while let Some(one) = self.peek(0).filter(|one| !matches!(one, '\n' | '\r')) {
            self.at += 1;
            match one {
                _ if one == quote => break,
                '\\' => text.extend(self.escaped()),
                _ => text.push(one),
            }
        }
        Token::Text(text)
    }

    fn escaped(&mut self) -> Option<char> {
        let one = self.peek(0)?;
        self.at += 1;
        Some(match one {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0'..='7' => {
                // Up to three digits in base eight, below 256.
                let mut code = one.to_digit(8)?;
                let most = if one <= '3' { 2 } else { 1 };
                for _ in 0..most {
                    let Some(digit) = self.peek(0).and_then(|one| one.to_digit(8)) else { break };
                    code = code * 8 + digit;
                    self.at += 1;
                }
                char::from_u32(code)?
            }
            other => other,
        })
    }
}

fn is_letter(one: char) -> bool {
    one.is_ascii_alphabetic() || matches!(one, '-' | '_' | '$') || one >= '\u{a0}'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Vec<(String, String)> {
        let [module] = <[LoginModule; 1]>::try_from(parse(text).unwrap()).unwrap();
        assert_eq!(module.class, "a.b.PlainLoginModule");
        module.options.into_iter().collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn modules_have_options_in_quotes_and_without() {
        assert_eq!(
            options(r#"a.b.PlainLoginModule required username="alice" password='it"s; = x' realm_x=A-1.b$;"#),
            pairs(&[("password", "it\"s; = x"), ("realm_x", "A-1.b$"), ("username", "alice")])
        );
        assert_eq!(options("a.b.PlainLoginModule OPTIONAL;"), []);
        assert_eq!(
            options("a.b.PlainLoginModule /* why */ required // so\n a=\"\\\"\\\\\\t\\101\\u\" ; / the end"),
            pairs(&[("a", "\"\\\tAu")])
        );
    }

    #[test]
    fn mistakes_are_told_in_kafkas_words() {
        for (text, expected) in [
            ("", "Login module not specified in JAAS config"),
            ("a.b.M", "Login module control flag not specified in JAAS config"),
            ("a.b.M ;", "Login module control flag is not available in the JAAS config"),
            ("a.b.M needed;", "Invalid login module control flag 'needed' in JAAS config"),
            ("a.b.M required user", "Value not specified for key 'user' in JAAS config"),
            ("a.b.M required password=123;", "Value not specified for key 'password' in JAAS config"),
            ("a.b.M required password=;", "Value not specified for key 'password' in JAAS config"),
            ("a.b.M required user=x", "JAAS config entry not terminated by semi-colon"),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn there_may_be_several_modules() {
        let classes: Vec<_> = parse("A required; B required x=y;").unwrap().into_iter().map(|one| one.class).collect();
        assert_eq!(classes, ["A", "B"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\\PC\\n]{0,60}") {
            let _ = parse(&text);
        }
    }
}
