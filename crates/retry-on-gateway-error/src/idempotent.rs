/// In a request's extensions: the caller vouches that sending this request twice does no harm, or says that it does.
///
/// It decides for its request whatever the method is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Idempotent(pub bool);
