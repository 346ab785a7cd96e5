use http::{HeaderMap, header};

/// The forms of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    Text,
    Json,
    Html,
}

// === impl Format ===

impl Format {
    /// Chooses by `accept`, text where nothing fits.
    pub(super) fn choose(headers: &HeaderMap) -> Self {
        let ranges = [
            ("text/plain", Self::Text),
            ("text/*", Self::Text),
            ("*/*", Self::Text),
            ("application/health+json", Self::Json),
            ("application/json", Self::Json),
            ("application/*", Self::Json),
            ("text/html", Self::Html),
        ];
        choose(headers, &ranges, Self::Text)
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Json => "application/health+json",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

/// Chooses by `accept` (RFC 9110, section 12.5.1): the one of highest quality, the one that is named first where several are equal, the default where nothing fits.
pub(crate) fn choose<T: Copy>(headers: &HeaderMap, known: &[(&str, T)], default: T) -> T {
    let mut best = (default, 0.0);
    let values = headers.get_all(header::ACCEPT).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let mut known = known.iter();
        let Some((_, format)) = known.find(|(known, _)| name.eq_ignore_ascii_case(known)) else {
            continue;
        };
        let quality = parts
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(Ok(1.0), |(_, value)| value.trim().parse::<f32>());
        // What is no number says nothing.
        if let Ok(quality) = quality
            && quality <= 1.0
            && quality > best.1
        {
            best = (*format, quality);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_decides_the_form() {
        for (accept, expected) in [
            ("*/*", Format::Text),
            ("", Format::Text),
            ("image/png", Format::Text),
            ("application/health+json", Format::Json),
            ("application/json", Format::Json),
            ("Application/JSON; q=0.5, text/html;q=0.4", Format::Json),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Format::Html,
            ),
            ("text/html;q=0, */*;q=0.1", Format::Text),
            ("text/html;q=x, application/json;q=0.1", Format::Json),
            ("text/html;q=NaN, application/json;q=0.1", Format::Json),
            ("text/plain, text/html", Format::Text),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);

            assert_eq!(Format::choose(&headers), expected, "accept: {accept}");
        }
        assert_eq!(Format::choose(&HeaderMap::new()), Format::Text);
    }
}
