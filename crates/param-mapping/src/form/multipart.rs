//! `multipart/form-data` after [RFC 7578](https://www.rfc-editor.org/rfc/rfc7578).

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem::{self, Finder};

use super::content_type::{Boundary, Parameters};
use super::error::FormError;
use super::{Field, FieldKind, FormEdit, MAX_FIELDS};

/// The headers of one part.
struct Disposition {
    raw_name: Range<usize>,
    name: Vec<u8>,
    is_file: bool,
}

/// The longest headers of a part.
const MAX_HEAD: usize = 8 * 1024;

pub(crate) fn fields(
    input: &Bytes,
    boundary: &Boundary,
) -> Result<(Vec<Field>, Range<usize>), FormError> {
    let finder = Finder::new(boundary.delimiter());
    let mut fields = Vec::new();
    // What comes before the first boundary is for nobody.
    let mut start = if input.starts_with(boundary.first()) {
        0
    } else {
        let found = finder.find(input);
        let found = found.ok_or_else(|| FormError::malformed(0, "there is no boundary"))?;
        if holds_doubtful_boundary(input.get(..found).unwrap_or_default(), boundary) {
            let reason = "a boundary without CR and LF stands before the first one";
            return Err(FormError::malformed(0, reason));
        }
        found + 2
    };
    loop {
        let number = fields.len() + 1;
        let fail = |reason| FormError::malformed(number, reason);
        let after = start + boundary.first().len();
        let line = input.get(after..).unwrap_or_default();
        if line.starts_with(b"--") {
            end_of_last_line(line.get(2..).unwrap_or_default())
                .ok_or_else(|| fail("its boundary goes on"))?;
            return Ok((fields, start..input.len()));
        }
        if fields.len() == MAX_FIELDS {
            return Err(FormError::too_many(MAX_FIELDS));
        }
        let padding = line
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        if !line.get(padding..).unwrap_or_default().starts_with(b"\r\n") {
            return Err(fail("its boundary goes on"));
        }
        // From the line end of the boundary on, so that a part without headers has its empty line too.
        let head_start = after + padding;
        let rest = input.get(head_start..).unwrap_or_default();
        let head = rest.get(..MAX_HEAD.min(rest.len())).unwrap_or_default();
        let head_end = memmem::find(head, b"\r\n\r\n")
            .ok_or_else(|| fail("its headers do not end within 8 KiB"))?;
        let disposition =
            disposition(head.get(..head_end).unwrap_or_default(), head_start).map_err(fail)?;
        let value_start = head_start + head_end + 4;
        let rest = input.get(value_start..).unwrap_or_default();
        let len = finder
            .find(rest)
            .ok_or_else(|| fail("no boundary follows"))?;
        let raw_value = value_start..value_start + len;
        let next = raw_value.end + 2;
        if holds_doubtful_boundary(rest.get(..len).unwrap_or_default(), boundary) {
            return Err(fail("its value has a boundary without CR and LF before it"));
        }
        fields.push(Field {
            whole: start..next,
            raw_name: disposition.raw_name,
            name: disposition.name.into(),
            value: input.slice(raw_value.clone()),
            raw_value,
            kind: if disposition.is_file {
                FieldKind::File
            } else {
                FieldKind::Text
            },
        });
        start = next;
    }
}

/// Refuses what would make other parts of these.
pub(crate) fn check(edits: &[FormEdit<'_>], boundary: &Boundary) -> Result<(), FormError> {
    let is_name = |name: &str| {
        !name
            .chars()
            .any(|c| matches!(c, '"' | '\\') || c.is_control())
    };
    for edit in edits {
        let (name, value) = match edit {
            FormEdit::Remove(_) => continue,
            FormEdit::Rename { to, .. } => (to, &b""[..]),
            FormEdit::Set { name, value }
            | FormEdit::Add { name, value }
            | FormEdit::AddFirst { name, value } => (name, *value),
        };
        if !is_name(name) {
            return Err(FormError::name());
        }
        if holds_boundary(value, boundary) || holds_doubtful_boundary(value, boundary) {
            return Err(FormError::value());
        }
    }
    Ok(())
}

fn holds_boundary(value: &[u8], boundary: &Boundary) -> bool {
    memmem::find(value, boundary.delimiter()).is_some()
}

/// Whether there is a boundary at the beginning, or after CR or LF alone, where lenient readers see another part.
fn holds_doubtful_boundary(value: &[u8], boundary: &Boundary) -> bool {
    memmem::find_iter(value, boundary.first()).any(|at| {
        let before = at.checked_sub(1).and_then(|before| value.get(before));
        matches!(before, None | Some(b'\r' | b'\n'))
    })
}

/// The last boundary may have spaces after it, and then the end or a line end.
fn end_of_last_line(line: &[u8]) -> Option<()> {
    let padding = line
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let rest = line.get(padding..)?;
    (rest.is_empty() || rest.starts_with(b"\r\n")).then_some(())
}

/// Reads the headers of a part, which begin at this place of the body with the line end before them.
fn disposition(head: &[u8], start: usize) -> Result<Disposition, &'static str> {
    let mut found = None;
    let mut at = 0;
    while at < head.len() {
        let line_start = at + 2;
        let rest = head.get(line_start..).unwrap_or_default();
        let len = memmem::find(rest, b"\r\n").unwrap_or(rest.len());
        let line = rest.get(..len).unwrap_or_default();
        at = line_start + len;
        if line.is_empty() {
            continue;
        }
        if line.contains(&b'\r') || line.contains(&b'\n') || line.contains(&0) {
            return Err("a line of its headers ends with CR or LF alone");
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err("a line of its headers is folded");
        }
        let Some(colon) = memchr::memchr(b':', line) else {
            return Err("a line of its headers has no colon");
        };
        let name = line.get(..colon).unwrap_or_default();
        if !name
            .trim_ascii()
            .eq_ignore_ascii_case(b"content-disposition")
        {
            continue;
        }
        if found.is_some() {
            return Err("it has two content dispositions");
        }
        found = Some(parameters(line, colon + 1, start + line_start)?);
    }
    found.ok_or("it has no content disposition")
}

fn parameters(line: &[u8], at: usize, start: usize) -> Result<Disposition, &'static str> {
    let value = line.get(at..).unwrap_or_default();
    let len = memchr::memchr(b';', value).unwrap_or(value.len());
    let kind = value.get(..len).unwrap_or_default().trim_ascii();
    if !kind.eq_ignore_ascii_case(b"form-data") {
        return Err("its content disposition is not form-data");
    }
    let (mut name, mut is_file) = (None, false);
    for parameter in Parameters::new(line, at + len) {
        let parameter = parameter.ok_or("its content disposition cannot be read")?;
        if parameter.name.eq_ignore_ascii_case(b"name") {
            let place = start + parameter.start..start + parameter.end;
            if name.replace((place, parameter.value)).is_some() {
                return Err("it has two names");
            }
        }
        // RFC 7578, section 4.2, forbids the extended form, and some read it.
        if parameter.name.eq_ignore_ascii_case(b"name*") {
            return Err("it has a name in the extended form");
        }
        is_file |= parameter.name.eq_ignore_ascii_case(b"filename")
            || parameter.name.eq_ignore_ascii_case(b"filename*");
    }
    let (raw_name, name) = name.ok_or("it has no name")?;
    Ok(Disposition {
        raw_name,
        name,
        is_file,
    })
}
