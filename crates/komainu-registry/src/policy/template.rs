//! Text with wildcards and variables, as it stands in a document, before a connection fills it in.

use super::connection::{ConnectionContext, Variable};
use super::document::MalformedPolicy;
use super::pattern::Token;

/// Text with wildcards and variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Token(Token),
    /// A variable; every value it has.
    Variable(Variable),
}

/// What in a text is special.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syntax {
    /// `*` and `?` are wildcards.
    pub(super) wildcards: bool,
    /// `${...}` is a variable or an escape.
    pub(super) variables: bool,
}

impl Template {
    /// Reads `text`. An unclosed variable is an error, and so is more than one `.List` variable, since each multiplies
    /// what the template stands for.
    pub(super) fn parse(text: &str, syntax: Syntax) -> Result<Self, MalformedPolicy> {
        let mut parts = Vec::new();
        let mut rest = text;
        let mut lists = 0;
        while let Some(next) = rest.chars().next() {
            if syntax.variables && rest.starts_with("${") {
                let Some(end) = rest.find('}') else {
                    return Err(MalformedPolicy::new(format!("variable in {text:?} is not closed")));
                };
                match &rest[2..end] {
                    "*" => parts.push(Part::Token(Token::Char('*'))),
                    "?" => parts.push(Part::Token(Token::Char('?'))),
                    "$" => parts.push(Part::Token(Token::Char('$'))),
                    name => {
                        let variable = Variable::parse(name);
                        lists += usize::from(variable.is_list());
                        parts.push(Part::Variable(variable));
                    }
                }
                rest = &rest[end + 1..];
                continue;
            }
            parts.push(Part::Token(match next {
                '*' if syntax.wildcards => Token::Any,
                '?' if syntax.wildcards => Token::One,
                other => Token::Char(other),
            }));
            rest = &rest[next.len_utf8()..];
        }
        if lists > 1 {
            return Err(MalformedPolicy::new(format!("{text:?} has more than one .List variable")));
        }
        Ok(Self(parts))
    }

    /// Everything the template stands for in this connection: one sequence of tokens, more with a `.List` variable,
    /// none when a variable has no value.
    pub(super) fn fill(&self, context: &ConnectionContext<'_>) -> Vec<Vec<Token>> {
        let mut filled = vec![Vec::with_capacity(self.0.len())];
        for part in &self.0 {
            match part {
                Part::Token(token) => filled.iter_mut().for_each(|tokens| tokens.push(*token)),
                Part::Variable(variable) => {
                    let values = context.values(variable);
                    filled = filled
                        .iter()
                        .flat_map(|tokens| {
                            values
                                .iter()
                                .map(|value| tokens.iter().copied().chain(value.chars().map(Token::Char)).collect())
                        })
                        .collect();
                }
            }
        }
        filled
    }
}
