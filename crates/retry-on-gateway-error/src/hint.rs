mod source;

pub use self::source::HintSource;
