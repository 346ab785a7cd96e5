use portcullis_gateway_error::InvalidConfig;

use crate::{RetryOn, StatusCodes};

/// Checks each element of a list; a mistake in it gets its number.
pub(super) fn each<T, U>(
    list: Vec<T>,
    check: impl Fn(T) -> Result<U, InvalidConfig>,
) -> impl Iterator<Item = Result<U, InvalidConfig>> {
    let elements = list.into_iter().enumerate();
    elements
        .map(move |(index, element)| check(element).map_err(|mistake| mistake.within_index(index)))
}

pub(super) fn classes(words: Vec<String>) -> Result<RetryOn, InvalidConfig> {
    let mut classes = each(words, |word| match word.parse() {
        Ok(RetryOn::NONE) => Err(InvalidConfig::whole("must not be empty")),
        Ok(class) => Ok(class),
        Err(unknown) => Err(InvalidConfig::whole(unknown.to_string())),
    });
    classes.try_fold(RetryOn::NONE, |set, class| Ok(set | class?))
}

pub(super) fn status_codes(words: Vec<String>) -> Result<StatusCodes, InvalidConfig> {
    // All together are read as one text, once each was looked at.
    let words = each(words, |word| {
        if word.parse::<StatusCodes>()?.is_empty() {
            return Err(InvalidConfig::whole("must not be empty"));
        }
        Ok(word)
    });
    let words: Vec<_> = words.collect::<Result<_, _>>()?;
    words.join(",").parse()
}

pub(super) fn grpc_methods(methods: Vec<String>) -> Result<Vec<String>, InvalidConfig> {
    let is_path = |path: &str| {
        let names = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        names.is_some_and(|(service, method)| {
            !service.is_empty() && !method.is_empty() && !method.contains('/')
        })
    };
    let methods = each(methods, |path| {
        if is_path(&path) {
            return Ok(path);
        }
        let message =
            format!("must be as /package.Service/Method or /package.Service/*, is {path:?}");
        Err(InvalidConfig::whole(message))
    });
    methods.collect()
}
