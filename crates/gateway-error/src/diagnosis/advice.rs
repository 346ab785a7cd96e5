use http::StatusCode;

use crate::{ErrorKind, Failure};

/// What to check next.
pub(super) const fn next(failure: Failure) -> &'static str {
    match (failure.kind(), failure.status()) {
        (Some(kind), _) => of_kind(kind),
        (None, Some(StatusCode::BAD_GATEWAY)) => {
            "the log of the hop that answered: it got no valid answer from the one behind it"
        }
        (None, Some(StatusCode::SERVICE_UNAVAILABLE)) => {
            "whether the upstream is overloaded, in maintenance, or has no healthy instance; retry-after says when to come back"
        }
        (None, Some(StatusCode::GATEWAY_TIMEOUT)) => {
            "which hop waited too long: compare the elapsed time with the time limits of each"
        }
        (None, _) => "the log of the upstream, by the request's id where it gave one",
    }
}

const fn of_kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::DnsTimeout => "whether the resolver can be reached from this host",
        ErrorKind::DnsError => {
            "the spelling of the host name, and whether it resolves from this host: getent hosts NAME"
        }
        ErrorKind::DestinationNotFound => "the gateway's routes: none matches this host and path",
        ErrorKind::DestinationUnavailable => {
            "the health checks of the upstream: no endpoint is considered up"
        }
        ErrorKind::DestinationIpProhibited => {
            "the firewall of this host and the list of addresses that the gateway may call"
        }
        ErrorKind::DestinationIpUnroutable => {
            "the routes and the VPN of this host: nothing leads to the address"
        }
        ErrorKind::ConnectionRefused => {
            "whether the upstream is running and listens on this address and port; a deploy or a maintenance looks like this"
        }
        ErrorKind::ConnectionTerminated => {
            "the upstream's log for a crash or a restart, and whether its keep-alive time is shorter than the client's idle time"
        }
        ErrorKind::ConnectionTimeout => {
            "whether a firewall drops the packets, and whether the upstream's backlog is full"
        }
        ErrorKind::ConnectionReadTimeout | ErrorKind::HttpResponseTimeout => {
            "what the upstream was doing in this time: a slow query, a full pool, a deadlock; then the time limit itself"
        }
        ErrorKind::ConnectionWriteTimeout => "whether the upstream reads the request body at all",
        ErrorKind::ConnectionLimitReached => {
            "this gateway's limits on connections and open files, and what holds them"
        }
        ErrorKind::TlsProtocolError => {
            "whether this port speaks TLS at all, and which versions: openssl s_client -connect HOST:PORT"
        }
        ErrorKind::TlsCertificateError => {
            "the certificate's names, dates and issuer, and that the whole chain is sent: openssl s_client -showcerts -connect HOST:PORT"
        }
        ErrorKind::TlsAlertReceived => {
            "which TLS versions and ciphers the upstream takes, the server name sent, and whether it wants a client certificate"
        }
        ErrorKind::HttpRequestError => {
            "the request: whether it is valid, and whether its sender broke off"
        }
        ErrorKind::HttpRequestDenied => "the policy of the gateway that denied it",
        ErrorKind::HttpResponseIncomplete => {
            "the upstream's log for a crash in the middle of the answer, and time and size limits of the hops between"
        }
        ErrorKind::HttpResponseHeaderSectionSize | ErrorKind::HttpResponseHeaderSize => {
            "the answer's headers, cookies first, and this client's limit on them"
        }
        ErrorKind::HttpResponseBodySize => "the size of the answer, and the limit on it",
        ErrorKind::HttpResponseTrailerSectionSize | ErrorKind::HttpResponseTrailerSize => {
            "the answer's trailers, and the limit on them"
        }
        ErrorKind::HttpResponseTransferCoding => {
            "whether something between rewrites chunked answers"
        }
        ErrorKind::HttpResponseContentCoding => {
            "whether content-encoding says what the body is: compressed twice, or not at all"
        }
        ErrorKind::HttpUpgradeFailed => {
            "whether every hop passes the upgrade on, and the upstream speaks the protocol"
        }
        ErrorKind::HttpProtocolError => {
            "whether this port speaks the expected version of HTTP, or another protocol"
        }
        ErrorKind::ProxyInternalResponse | ErrorKind::ProxyInternalError => {
            "this gateway's own log"
        }
        ErrorKind::ProxyConfigurationError => "this gateway's configuration",
        ErrorKind::ProxyLoopDetected => {
            "where the upstream's name leads: it is this gateway, or one that leads back to it"
        }
    }
}
