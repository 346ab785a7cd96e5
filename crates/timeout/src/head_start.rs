/// From when [`TimeoutLayer::head`](crate::TimeoutLayer::head) and [`TimeoutLayer::first_byte`](crate::TimeoutLayer::first_byte) count.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HeadStart {
    /// From the call. A long upload counts.
    #[default]
    Call,
    /// From the end of the request body, as with Envoy and Linkerd: an upload that goes on is not cut, however long it takes.
    ///
    /// The end is where the inner service has taken the last frame, or has let go of the body. Costs two allocations for a request with a body.
    RequestSent,
}
