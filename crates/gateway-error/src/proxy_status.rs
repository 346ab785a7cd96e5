use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sfv::{BareItem, Item, KeyRef, ListEntry, Parameters, StringRef, TokenRef};

use crate::ErrorKind;

/// The `Proxy-Status` field of [RFC 9209](https://www.rfc-editor.org/rfc/rfc9209): what each intermediary says of the response, the one nearest to the origin first.
///
/// See the [crate docs](crate) for examples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyStatus {
    hops: Vec<Hop>,
}

/// One member of [`ProxyStatus`]: what one intermediary says.
///
/// Parameters that have no field here are kept and written back.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hop {
    /// The intermediary's name: a host name, a pseudonym, or a product.
    pub name: String,
    /// The error type, if the intermediary found an error. Its token need not be one of RFC 9209.
    pub error: Option<String>,
    /// The host or address that the intermediary forwarded to.
    pub next_hop: Option<String>,
    /// The ALPN protocol id that it used towards the next hop.
    pub next_protocol: Option<String>,
    /// The status that it received from the next hop.
    pub received_status: Option<StatusCode>,
    /// What else it says, for people.
    pub details: Option<String>,
    /// Every parameter without a field of its own, in order.
    other: Parameters,
}

/// The name of the field.
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

// === impl ProxyStatus ===

impl ProxyStatus {
    /// Reads the field from headers or trailers, all its lines as one list.
    ///
    /// `None` where the field is absent, and where it is malformed: a structured field that does not parse is ignored as a whole
    /// ([RFC 9651, section 4.2](https://www.rfc-editor.org/rfc/rfc9651#section-4.2)).
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        headers.get(PROXY_STATUS)?;
        let lines: Vec<_> = lines(headers).map(HeaderValue::as_bytes).collect();
        let list: sfv::List = match lines[..] {
            [line] => sfv::Parser::new(line).parse().ok()?,
            _ => sfv::Parser::new(&lines.join(&b", "[..])).parse().ok()?,
        };
        let hops = list.into_iter().filter_map(Hop::from_entry).collect();

        Some(Self { hops })
    }

    /// Adds our own member at the end of what the headers carry, whose lines stay as they are.
    ///
    /// A field that is there and does not parse is replaced, because it would make every reader ignore ours too.
    pub fn append(headers: &mut HeaderMap, hop: &Hop) {
        let Some(value) = hop.to_header_value() else {
            return;
        };
        let theirs: Vec<_> = match Self::from_headers(headers) {
            Some(_) => lines(headers).cloned().collect(),
            None => Vec::new(),
        };
        headers.remove(PROXY_STATUS);
        for line in theirs.into_iter().chain([value]) {
            headers.append(PROXY_STATUS, line);
        }
    }

    /// Returns the members, the one nearest to the origin first.
    #[must_use]
    pub fn hops(&self) -> &[Hop] {
        &self.hops
    }

    /// Returns the first member that reports an error: the hop nearest to the origin, where the failure began.
    #[must_use]
    pub fn failed_hop(&self) -> Option<&Hop> {
        self.hops.iter().find(|hop| hop.error.is_some())
    }
}

// === impl Hop ===

impl Hop {
    /// A member that says nothing yet but the name of the intermediary.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Returns the error type, where it is one of RFC 9209.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        self.error.as_deref()?.parse().ok()
    }

    /// Returns a parameter that has no field here, as the structured field writes it: `alert-id`, `rcode`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let key = KeyRef::from_str(name).ok()?;
        Some(text(self.other.get(key)?))
    }

    /// Writes the member as a field value of its own; `None` where the name cannot be written at all.
    ///
    /// Characters that a structured field cannot hold become `?`.
    #[must_use]
    pub fn to_header_value(&self) -> Option<HeaderValue> {
        let mut item = Item::new(token_or_string(&self.name));
        let mut set = |name: &str, value: BareItem| {
            if let Ok(key) = KeyRef::from_str(name) {
                item.params.insert(key.to_owned(), value);
            }
        };
        if let Some(error) = &self.error {
            set("error", token_or_string(error));
        }
        if let Some(next_hop) = &self.next_hop {
            set("next-hop", token_or_string(next_hop));
        }
        if let Some(protocol) = &self.next_protocol {
            set("next-protocol", token_or_string(protocol));
        }
        if let Some(status) = self.received_status {
            set("received-status", BareItem::Integer(status.as_u16().into()));
        }
        for (key, value) in &self.other {
            set(key.as_str(), value.clone());
        }
        if let Some(details) = &self.details {
            set("details", string(details));
        }

        let mut serializer = sfv::ListSerializer::new();
        serializer.members([&ListEntry::Item(item)]);
        HeaderValue::from_str(&serializer.finish()?).ok()
    }

    fn from_entry(entry: ListEntry) -> Option<Self> {
        // An inner list is not a member of this field; RFC 9209 knows no meaning for it.
        let ListEntry::Item(item) = entry else {
            return None;
        };
        let mut hop = Self::new(text(&item.bare_item));
        for (key, value) in item.params {
            match key.as_str() {
                "error" => hop.error = Some(text(&value)),
                "next-hop" => hop.next_hop = Some(text(&value)),
                "next-protocol" => hop.next_protocol = Some(text(&value)),
                "received-status" => hop.received_status = status(&value),
                "details" => hop.details = Some(text(&value)),
                _ => {
                    hop.other.insert(key, value);
                }
            }
        }
        Some(hop)
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(error) = &self.error {
            write!(f, ": {error}")?;
        }
        if let Some(details) = &self.details {
            write!(f, " ({details})")?;
        }
        Ok(())
    }
}

/// Every line of the field but the empty ones: a list does not parse that has one of them beside others.
fn lines(headers: &HeaderMap) -> impl Iterator<Item = &HeaderValue> {
    let is_blank = |line: &HeaderValue| line.as_bytes().trim_ascii().is_empty();
    let lines = headers.get_all(PROXY_STATUS).iter();
    lines.filter(move |line| !is_blank(line))
}

fn token_or_string(value: &str) -> BareItem {
    TokenRef::from_str(value).map_or_else(|_| string(value), |token| token.to_owned().into())
}

fn string(value: &str) -> BareItem {
    let printable: String = value
        .chars()
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .collect();
    StringRef::from_str(&printable).map_or(BareItem::Boolean(true), |text| text.to_owned().into())
}

fn status(value: &BareItem) -> Option<StatusCode> {
    let number = value.as_integer().map(i64::from)?;
    StatusCode::from_u16(u16::try_from(number).ok()?).ok()
}

fn text(value: &BareItem) -> String {
    match value {
        BareItem::String(text) => text.as_str().to_owned(),
        BareItem::Token(token) => token.as_str().to_owned(),
        BareItem::Integer(number) => number.to_string(),
        BareItem::Decimal(number) => number.to_string(),
        BareItem::Boolean(flag) => flag.to_string(),
        BareItem::ByteSequence(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        BareItem::Date(date) => date.unix_seconds().to_string(),
        BareItem::DisplayString(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines
            .iter()
            .map(|line| (PROXY_STATUS, line.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let headers = headers(&[
            r#"revproxy1.example.net, ExampleCDN; received-status=504"#,
            r#"SomeCDN; error=dns_error; rcode="NXDOMAIN"; details="no such name""#,
        ]);

        let status = ProxyStatus::from_headers(&headers).unwrap();

        let [proxy, cdn, failed] = status.hops() else {
            panic!("{status:?}")
        };
        assert_eq!(proxy.name, "revproxy1.example.net");
        assert_eq!(cdn.received_status, Some(StatusCode::GATEWAY_TIMEOUT));
        assert_eq!(failed.kind(), Some(ErrorKind::DnsError));
        assert_eq!(failed.parameter("rcode").as_deref(), Some("NXDOMAIN"));
        assert_eq!(status.failed_hop(), Some(failed));
    }

    #[test]
    fn our_member_comes_last_and_theirs_stay_as_they_were() {
        let mut headers = headers(&["cdn;error=connection_refused;  x=1"]);
        let mut ours = Hop::new("gw 1");
        ours.received_status = Some(StatusCode::BAD_GATEWAY);
        ours.details = Some("na\u{ef}ve \"quote\"".to_owned());

        ProxyStatus::append(&mut headers, &ours);

        let lines: Vec<_> = headers.get_all(PROXY_STATUS).iter().collect();
        assert_eq!(
            lines,
            [
                "cdn;error=connection_refused;  x=1",
                r#""gw 1";received-status=502;details="na?ve \"quote\"""#,
            ]
        );
        assert_eq!(ProxyStatus::from_headers(&headers).unwrap().hops().len(), 2);
    }

    #[test]
    fn a_malformed_field_is_ignored_and_then_replaced() {
        let mut headers = headers(&["cdn;error=="]);
        assert_eq!(ProxyStatus::from_headers(&headers), None);

        ProxyStatus::append(&mut headers, &Hop::new("gw"));

        assert_eq!(
            headers.get_all(PROXY_STATUS).iter().collect::<Vec<_>>(),
            ["gw"]
        );
    }

    #[test]
    fn an_empty_line_does_not_spoil_the_others() {
        let mut headers = headers(&["", "cdn;error=dns_error", " "]);

        ProxyStatus::append(&mut headers, &Hop::new("gw"));

        assert_eq!(
            headers.get_all(PROXY_STATUS).iter().collect::<Vec<_>>(),
            ["cdn;error=dns_error", "gw"]
        );
    }

    #[test]
    fn unknown_parameters_are_written_back() {
        let status =
            ProxyStatus::from_headers(&headers(&["a;error=tls_alert_received;alert-id=40"]));

        let value = status.unwrap().hops()[0].to_header_value();

        assert_eq!(value.unwrap(), "a;error=tls_alert_received;alert-id=40");
    }

    #[test]
    fn what_a_field_says_is_read() {
        for (line, hops, failed) in [
            ("", 0, None),
            ("a", 1, None),
            ("\"a b\";error=x_y", 1, Some("a b: x_y")),
            ("a;error=\"dns_error\"", 1, Some("a: dns_error")),
            ("a;error", 1, Some("a: true")),
            ("(a b), c;error=dns_error", 1, Some("c: dns_error")),
            (
                "a;received-status=502, b;error=dns_error;details=\"no\"",
                2,
                Some("b: dns_error (no)"),
            ),
            ("a;received-status=99999", 1, None),
            ("1.5;x=?1;y=:AA==:;z=@7", 1, None),
        ] {
            let status = ProxyStatus::from_headers(&headers(&[line])).unwrap();

            assert_eq!(status.hops().len(), hops, "{line}");
            let told = status.failed_hop().map(ToString::to_string);
            assert_eq!(told.as_deref(), failed, "{line}");
        }
        for line in ["a,", "a;;b", "\"a", "a b", "a;Error=x", "\u{e4}"] {
            assert_eq!(ProxyStatus::from_headers(&headers(&[line])), None, "{line}");
        }
    }

    fn printable() -> impl Strategy<Value = Option<String>> {
        proptest::option::of("[ -~]{0,20}")
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_ignored(lines: Vec<Vec<u8>>) {
            let mut headers = HeaderMap::new();
            for line in lines {
                if let Ok(value) = HeaderValue::from_bytes(&line) {
                    headers.append(PROXY_STATUS, value);
                }
            }

            let read = ProxyStatus::from_headers(&headers);
            let before = read.map_or(0, |status| status.hops().len());
            ProxyStatus::append(&mut headers, &Hop::new("gw"));

            let after = ProxyStatus::from_headers(&headers).unwrap();
            prop_assert_eq!(after.hops().len(), before + 1);
        }

        #[test]
        fn what_is_written_is_read_back(
            name in "[ -~]{0,20}",
            error in printable(),
            next_hop in printable(),
            details in printable(),
            status in proptest::option::of(100_u16..1000),
        ) {
            let mut hop = Hop::new(name);
            hop.error = error;
            hop.next_hop = next_hop;
            hop.details = details;
            hop.received_status = status.and_then(|status| StatusCode::from_u16(status).ok());
            let mut headers = HeaderMap::new();

            ProxyStatus::append(&mut headers, &hop);

            let read = ProxyStatus::from_headers(&headers).unwrap();
            prop_assert_eq!(read.hops(), &[hop]);
        }

        #[test]
        fn any_text_can_be_written(name: String, details: String) {
            let mut hop = Hop::new(name);
            hop.details = Some(details);

            prop_assert!(hop.to_header_value().is_some());
        }
    }
}
