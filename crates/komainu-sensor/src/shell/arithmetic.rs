//! `$((…))`: the operators of C on 64-bit numbers that wrap; POSIX.1-2017, XCU 2.6.4.

/// How deep brackets and operators may stand in each other; bounds the stack.
const DEPTH_MAX: u32 = 20;

/// Where variables are.
pub(crate) trait Variables {
    fn value(&self, name: &[u8]) -> Vec<u8>;
    fn set(&mut self, name: &[u8], value: i64);
}

/// The value of an expression, or what ash says.
pub(crate) fn evaluate(source: &[u8], variables: &mut dyn Variables) -> Result<i64, &'static str> {
    let mut reader = Reader { source, at: 0, variables, depth: 0, quiet: 0 };
    reader.blanks();
    if reader.rest().is_empty() {
        return Ok(0);
    }
    let value = reader.comma()?;
    reader.blanks();
    if reader.rest().is_empty() { Ok(value) } else { Err(SYNTAX) }
}

const SYNTAX: &str = "arithmetic syntax error";

struct Reader<'a> {
    source: &'a [u8],
    at: usize,
    variables: &'a mut dyn Variables,
    depth: u32,
    /// Above zero in what `&&`, `||` and `?:` leave out.
    quiet: u32,
}

type Value = Result<i64, &'static str>;

/// Binary operators, the loosest first; longer ones before their beginnings.
const LEVELS: [&[&str]; 10] = [
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<=", ">=", "<", ">"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

impl Reader<'_> {
    fn rest(&self) -> &[u8] {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        while self.rest().first().is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn skip(&mut self, operator: &str) -> bool {
        self.blanks();
        let is_there = self.rest().starts_with(operator.as_bytes());
        if is_there {
            self.at += operator.len();
        }
        is_there
    }

    fn comma(&mut self) -> Value {
        let mut value = self.assignment()?;
        while self.skip(",") {
            value = self.assignment()?;
        }
        Ok(value)
    }

    fn name(&self) -> usize {
        let rest = self.rest();
        let length = rest.iter().position(|&b| !b.is_ascii_alphanumeric() && b != b'_').unwrap_or(rest.len());
        if rest.first().is_some_and(u8::is_ascii_digit) { 0 } else { length }
    }

    fn assignment(&mut self) -> Value {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(SYNTAX);
        }
        let value = self.assignment_within();
        self.depth -= 1;
        value
    }

    fn assignment_within(&mut self) -> Value {
        self.blanks();
        let start = self.at;
        let length = self.name();
        if length > 0 {
            let name = self.rest().get(..length).unwrap_or_default().to_vec();
            self.at += length;
            self.blanks();
            let rest = self.rest();
            let operators = ["<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "="];
            let operator = operators.into_iter().find(|operator| rest.starts_with(operator.as_bytes()));
            if let Some(operator) = operator
                && !rest.starts_with(b"==")
            {
                self.at += operator.len();
                let right = self.assignment()?;
                let value = match operator.strip_suffix('=') {
                    Some("") | None => right,
                    Some(operator) => self.apply(operator, self.variable(&name)?, right)?,
                };
                self.set(&name, value);
                return Ok(value);
            }
            self.at = start;
        }
        let test = self.binary(0)?;
        if !self.skip("?") {
            return Ok(test);
        }
        self.quiet += u32::from(test == 0);
        let yes = self.assignment()?;
        self.quiet -= u32::from(test == 0);
        if !self.skip(":") {
            return Err(SYNTAX);
        }
        self.quiet += u32::from(test != 0);
        let no = self.assignment()?;
        self.quiet -= u32::from(test != 0);
        Ok(if test != 0 { yes } else { no })
    }

    fn set(&mut self, name: &[u8], value: i64) {
        if self.quiet == 0 {
            self.variables.set(name, value);
        }
    }

    fn variable(&self, name: &[u8]) -> Value {
        let value = self.variables.value(name);
        let text = value.trim_ascii();
        let (is_negative, digits) = match text.strip_prefix(b"-") {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        if digits.is_empty() {
            return Ok(0);
        }
        let (value, length) = number(digits).ok_or(SYNTAX)?;
        if length < digits.len() {
            return Err(SYNTAX);
        }
        Ok(if is_negative { value.wrapping_neg() } else { value })
    }

    fn binary(&mut self, level: usize) -> Value {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            self.blanks();
            let rest = self.rest();
            let found = operators.iter().find(|operator| {
                let after = rest.strip_prefix(operator.as_bytes());
                // `|` is not the half of `||`, nor `<` the half of `<<`, and `a *= 2` is an assignment.
                after.is_some_and(|after| match **operator {
                    "|" | "&" => after.first() != operator.as_bytes().first() && after.first() != Some(&b'='),
                    "<" | ">" => after.first() != operator.as_bytes().first(),
                    "*" => !after.starts_with(b"*"),
                    _ => true,
                })
            });
            if *operators == ["*", "/", "%"] && rest.starts_with(b"**") {
                self.at += 2;
                let right = self.unary()?;
                left = (0..right.clamp(0, 64)).fold(1_i64, |value, _| value.wrapping_mul(left));
                continue;
            }
            let Some(&operator) = found else { return Ok(left) };
            self.at += operator.len();
            let leaves_out = operator == "&&" && left == 0 || operator == "||" && left != 0;
            self.quiet += u32::from(leaves_out);
            let right = self.binary(level + 1)?;
            self.quiet -= u32::from(leaves_out);
            left = self.apply(operator, left, right)?;
        }
    }

    fn apply(&self, operator: &str, left: i64, right: i64) -> Value {
        if matches!(operator, "/" | "%") && right == 0 {
            return if self.quiet > 0 { Ok(0) } else { Err("divide by zero") };
        }
        Ok(match operator {
            "||" => i64::from(left != 0 || right != 0),
            "&&" => i64::from(left != 0 && right != 0),
            "|" => left | right,
            "^" => left ^ right,
            "&" => left & right,
            "==" => i64::from(left == right),
            "!=" => i64::from(left != right),
            "<=" => i64::from(left <= right),
            ">=" => i64::from(left >= right),
            "<" => i64::from(left < right),
            ">" => i64::from(left > right),
            "<<" => left.wrapping_shl(right as u32),
            ">>" => left.wrapping_shr(right as u32),
            "+" => left.wrapping_add(right),
            "-" => left.wrapping_sub(right),
            "*" => left.wrapping_mul(right),
            "/" => left.wrapping_div(right),
            "%" => left.wrapping_rem(right),
            _ => return Err(SYNTAX),
        })
    }

    fn unary(&mut self) -> Value {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(SYNTAX);
        }
        let value = self.unary_within();
        self.depth -= 1;
        value
    }

    fn unary_within(&mut self) -> Value {
        for (operator, change) in [("++", 1), ("--", -1)] {
            if self.skip(operator) {
                self.blanks();
                let length = self.name();
                if length == 0 {
                    return self.unary();
                }
                let name = self.rest().get(..length).unwrap_or_default().to_vec();
                self.at += length;
                let value = self.variable(&name)?.wrapping_add(change);
                self.set(&name, value);
                return Ok(value);
            }
        }
        if self.skip("!") {
            return Ok(i64::from(self.unary()? == 0));
        }
        if self.skip("~") {
            return Ok(!self.unary()?);
        }
        if self.skip("-") {
            return Ok(self.unary()?.wrapping_neg());
        }
        if self.skip("+") {
            return self.unary();
        }
        if self.skip("(") {
            let value = self.comma()?;
            return if self.skip(")") { Ok(value) } else { Err(SYNTAX) };
        }
        let length = self.name();
        if length > 0 {
            let name = self.rest().get(..length).unwrap_or_default().to_vec();
            self.at += length;
            let value = self.variable(&name)?;
            for (operator, change) in [("++", 1), ("--", -1)] {
                if self.skip(operator) {
                    self.set(&name, value.wrapping_add(change));
                    break;
                }
            }
            return Ok(value);
        }
        let (value, length) = number(self.rest()).ok_or(SYNTAX)?;
        self.at += length;
        Ok(value)
    }
}

/// A number as C writes it, and its length.
fn number(text: &[u8]) -> Option<(i64, usize)> {
    let (radix, start) = match text {
        [b'0', b'x' | b'X', ..] => (16, 2),
        [b'0', b'0'..=b'7', ..] => (8, 1),
        [b'0'..=b'9', ..] => (10, 0),
        _ => return None,
    };
    let digits = text.get(start..)?;
    let length = digits.iter().take_while(|&&byte| char::from(byte).is_digit(radix)).count();
    let fold = |value: i64, &byte: &u8| {
        let digit = char::from(byte).to_digit(radix).unwrap_or(0);
        value.wrapping_mul(i64::from(radix)).wrapping_add(i64::from(digit))
    };
    let value = digits.iter().take(length).fold(0, fold);
    let is_followed = digits.get(length).is_some_and(u8::is_ascii_alphanumeric);
    (length > 0 && !is_followed).then_some((value, start + length))
}
