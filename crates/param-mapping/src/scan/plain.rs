//! The inside of strings, many bytes at a time.

/// How many bytes there are before one that means something inside a string: a quote, a backslash or a control character.
#[inline]
#[must_use]
pub fn plain(text: &[u8]) -> usize {
    let mut rest = text;
    // Most strings end within a few words, and a word says where.
    let mut words = 0;
    loop {
        if words >= WORDS {
            // A long one. Whole blocks, which the compiler checks by vectors.
            while let Some((block, behind)) = rest.split_first_chunk::<BLOCK>() {
                if has_end(block) {
                    break;
                }
                rest = behind;
            }
        }
        let Some((word, behind)) = rest.split_first_chunk::<8>() else {
            let end = rest.iter().position(|byte| is_end(*byte));
            return text.len() - rest.len() + end.unwrap_or(rest.len());
        };
        let ends = ends(*word);
        if ends != 0 {
            // At most 7.
            return text.len() - rest.len() + (ends.trailing_zeros() / 8) as usize;
        }
        rest = behind;
        words += 1;
    }
}

const fn is_end(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The high bit of each byte that ends a plain run. Bytes behind the first one may be marked wrongly, for the borrow.
#[inline]
const fn ends(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    let control = word.wrapping_sub(0x20 * ONES) & !word;
    let quote = word ^ (b'"' as u64 * ONES);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = word ^ (b'\\' as u64 * ONES);
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (control | quote | backslash) & (0x80 * ONES)
}

#[inline]
fn has_end(block: &[u8; BLOCK]) -> bool {
    block
        .iter()
        .fold(false, |found, byte| found | is_end(*byte))
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// How many words are looked at one by one before whole blocks are.
const WORDS: usize = 2;

const BLOCK: usize = 32;
