//! Comma-separated values (RFC 4180), a line at a time.

use super::Mistake;

/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// The most columns.
const COLUMNS_MAX: usize = 32;

/// The cells of a line. A line break within quotes is not understood.
pub(super) fn cells(line: &str) -> Result<Vec<String>, Mistake> {
    if line.len() > LINE_BYTES_MAX {
        return Err(Mistake::LineLong { bytes_max: LINE_BYTES_MAX });
    }
    let (mut cells, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' if is_quoted => is_quoted = false,
            '"' if cell.is_empty() => is_quoted = true,
            ',' if !is_quoted && cells.len() + 1 == COLUMNS_MAX => {
                return Err(Mistake::ManyCells { count_max: COLUMNS_MAX });
            }
            ',' if !is_quoted => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    cells.push(cell);
    if is_quoted { Err(Mistake::OpenQuote) } else { Ok(cells) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_cells() {
        let check = |line: &str, expected: &[&str]| assert_eq!(cells(line).unwrap(), expected, "{line}");
        check("", &[""]);
        check("a,b,,c", &["a", "b", "", "c"]);
        check(r#""a, ""b""",c"#, &[r#"a, "b""#, "c"]);
        check(r#"a"b,c"#, &[r#"a"b"#, "c"]);
        assert!(cells(r#""open"#).is_err() && cells(&",".repeat(40)).is_err() && cells(&"x".repeat(9000)).is_err());
    }
}
