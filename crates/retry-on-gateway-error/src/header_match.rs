use http::{HeaderMap, HeaderName, HeaderValue};

/// A header that is looked for: there at all, or there with this value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderMatch {
    name: HeaderName,
    /// None: any value.
    value: Option<HeaderValue>,
}

// === impl HeaderMatch ===

impl HeaderMatch {
    /// Finds the header whatever its value is.
    #[must_use]
    pub const fn present(name: HeaderName) -> Self {
        Self { name, value: None }
    }

    /// Finds the header where one of its lines is exactly this value.
    #[must_use]
    pub const fn exact(name: HeaderName, value: HeaderValue) -> Self {
        Self {
            name,
            value: Some(value),
        }
    }

    /// Says whether these headers have it.
    #[must_use]
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        match &self.value {
            None => headers.contains_key(&self.name),
            Some(value) => headers.get_all(&self.name).iter().any(|line| line == value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_by_name_or_by_name_and_value() {
        let name = HeaderName::from_static("x-retry");
        let exact = HeaderMatch::exact(name.clone(), HeaderValue::from_static("yes"));
        let mut headers = HeaderMap::new();
        assert!(!HeaderMatch::present(name.clone()).is_in(&headers));

        headers.append(name.clone(), HeaderValue::from_static("no"));
        assert!(HeaderMatch::present(name.clone()).is_in(&headers));
        assert!(!exact.is_in(&headers));
        headers.append(name, HeaderValue::from_static("yes"));
        assert!(exact.is_in(&headers), "any line counts");
    }
}
