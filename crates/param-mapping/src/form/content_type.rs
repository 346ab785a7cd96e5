use bytes::Bytes;

use super::error::FormError;

/// How a form is written.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormFormat {
    /// `application/x-www-form-urlencoded`
    UrlEncoded,
    /// `multipart/form-data`, with the boundary between its parts
    Multipart(Boundary),
}

/// What parts the parts of a multipart body, after [RFC 2046, section 5.1.1](https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// CRLF, two dashes and the boundary.
    delimiter: Bytes,
}

/// The parameters of a header value, each with the place of its value, quotes included.
pub(crate) struct Parameters<'a> {
    text: &'a [u8],
    at: usize,
}

pub(crate) struct Parameter<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: Vec<u8>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

// === impl FormFormat ===

impl FormFormat {
    /// The format that a content type stands for; `None` where it is no form.
    ///
    /// # Errors
    /// Where a multipart form has no boundary, has two, or has one that is none.
    pub fn of_content_type(content_type: &str) -> Result<Option<Self>, FormError> {
        let essence = content_type.split(';').next().unwrap_or_default();
        let is = |name: &str| essence.trim().eq_ignore_ascii_case(name);
        if is("application/x-www-form-urlencoded") {
            return Ok(Some(Self::UrlEncoded));
        }
        if !is("multipart/form-data") {
            return Ok(None);
        }
        let mut found = None;
        for parameter in Parameters::new(content_type.as_bytes(), essence.len()) {
            let parameter = parameter.ok_or_else(FormError::boundary)?;
            let is_boundary = parameter.name.eq_ignore_ascii_case(b"boundary");
            if is_boundary && found.replace(parameter.value).is_some() {
                return Err(FormError::boundary());
            }
        }
        let boundary = Boundary::new(&found.ok_or_else(FormError::boundary)?)?;
        Ok(Some(Self::Multipart(boundary)))
    }
}

// === impl Boundary ===

impl Boundary {
    fn new(boundary: &[u8]) -> Result<Self, FormError> {
        let is_right = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
        let is_boundary = (1..=70).contains(&boundary.len())
            && boundary.iter().all(is_right)
            && boundary.last() != Some(&b' ');
        if !is_boundary {
            return Err(FormError::boundary());
        }
        Ok(Self {
            delimiter: [b"\r\n--", boundary].concat().into(),
        })
    }

    /// CRLF, two dashes and the boundary.
    pub(crate) fn delimiter(&self) -> &[u8] {
        &self.delimiter
    }

    /// The same at the beginning of a body, where no line end is before it.
    pub(crate) fn first(&self) -> &[u8] {
        self.delimiter.get(2..).unwrap_or_default()
    }

    /// The boundary and the headers of a new part.
    pub(crate) fn part_head(&self, name: &str) -> Vec<u8> {
        let header = format!("\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        [self.first(), header.as_bytes()].concat()
    }
}

// === impl Parameters ===

impl<'a> Parameters<'a> {
    /// The parameters from here on, where a `;` comes first.
    pub(crate) const fn new(text: &'a [u8], at: usize) -> Self {
        Self { text, at }
    }

    fn skip_spaces(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    fn token(&mut self) -> &'a [u8] {
        let start = self.at;
        let is_token =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        while self.text.get(self.at).is_some_and(is_token) {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// A quoted text. Only quotes and backslashes are escaped: a path of Windows keeps its backslashes.
    fn quoted(&mut self) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        self.at += 1;
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += 1;
            match (byte, self.text.get(self.at)) {
                (b'"', _) => return Some(value),
                (b'\\', Some(next @ (b'"' | b'\\'))) => {
                    value.push(*next);
                    self.at += 1;
                }
                _ => value.push(byte),
            }
        }
    }

    fn parameter(&mut self) -> Option<Parameter<'a>> {
        let name = self.token();
        self.skip_spaces();
        if name.is_empty() || self.text.get(self.at) != Some(&b'=') {
            return None;
        }
        self.at += 1;
        self.skip_spaces();
        let start = self.at;
        let value = if self.text.get(self.at) == Some(&b'"') {
            self.quoted()?
        } else {
            // A browser's own boundary has only token characters, but others send `/` and `:` without quotes.
            while self
                .text
                .get(self.at)
                .is_some_and(|byte| !b" \t;\"\\".contains(byte))
            {
                self.at += 1;
            }
            self.text.get(start..self.at)?.to_vec()
        };
        let end = self.at;
        Some(Parameter {
            name,
            value,
            start,
            end,
        })
    }
}

impl<'a> Iterator for Parameters<'a> {
    /// `None` within is a parameter that cannot be read. Nothing comes after it.
    type Item = Option<Parameter<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.skip_spaces();
            match self.text.get(self.at) {
                None => return None,
                Some(b';') => self.at += 1,
                Some(_) => {
                    self.at = self.text.len();
                    return Some(None);
                }
            }
            self.skip_spaces();
            // `;` may come last, or twice.
            if !matches!(self.text.get(self.at), None | Some(b';')) {
                break;
            }
        }
        let parameter = self.parameter();
        if parameter.is_none() {
            self.at = self.text.len();
        }
        Some(parameter)
    }
}
