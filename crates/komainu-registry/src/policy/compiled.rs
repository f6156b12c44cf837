//! Policies with everything filled in that stays the same while a connection lasts.

use std::sync::Arc;

use super::Action;
use super::connection::ConnectionContext;
use super::document::{Effect, PolicyDocument, Resource};
use super::pattern::{Pattern, collapsed, glob_matches, remainders};

/// All policies that count for one connection.
#[derive(Debug, Clone, Default)]
pub struct CompiledPolicies {
    /// In the order of [`Action::ALL`].
    rules: [Rules; Action::ALL.len()],
}

/// What counts for one action. The patterns are about the resource without what its ARN begins with.
#[derive(Debug, Clone, Default)]
struct Rules {
    deny: Vec<Pattern>,
    allow: Vec<Pattern>,
}

impl CompiledPolicies {
    /// Compiles the policies for a connection. None of what the connection can know changes while it lasts; when the
    /// policies or what is registered change, they are compiled anew.
    pub fn compile(documents: &[Arc<PolicyDocument>], context: &ConnectionContext<'_>) -> Self {
        let arn_head = ["arn", "aws", "iot", context.scope.region.as_str(), context.scope.account.as_str()];
        let mut compiled = Self::default();
        for statement in documents.iter().flat_map(|document| &document.statements) {
            if !statement.conditions.iter().all(|condition| condition.holds(context, statement.effect)) {
                continue;
            }
            for action in Action::ALL.into_iter().filter(|action| statement.actions[action.index()]) {
                let rules = &mut compiled.rules[action.index()];
                let patterns = match statement.effect {
                    Effect::Allow => &mut rules.allow,
                    Effect::Deny => &mut rules.deny,
                };
                for resource in &statement.resources {
                    add_patterns(patterns, resource, action, &arn_head, context);
                }
            }
        }
        compiled.rules.iter_mut().for_each(|rules| {
            settle(&mut rules.deny);
            settle(&mut rules.allow);
        });
        compiled
    }

    /// Whether `action` is allowed on `resource`: a client id for [`Action::Connect`], a topic filter for
    /// [`Action::Subscribe`], a topic for the others. Does not allocate.
    pub fn allows(&self, action: Action, resource: &str) -> bool {
        let rules = &self.rules[action.index()];
        rules.allow.iter().any(|pattern| pattern.matches(resource))
            && !rules.deny.iter().any(|pattern| pattern.matches(resource))
    }

    /// Whether `action` is allowed on every resource, so that there is nothing to ask for a single one.
    pub fn allows_everything(&self, action: Action) -> bool {
        let rules = &self.rules[action.index()];
        rules.deny.is_empty() && rules.allow.contains(&Pattern::Everything)
    }
}

/// Adds what is left of `resource` when the head of the ARN and the kind of resource are taken off.
fn add_patterns(
    patterns: &mut Vec<Pattern>,
    resource: &Resource,
    action: Action,
    arn_head: &[&str; 5],
    context: &ConnectionContext<'_>,
) {
    match resource {
        Resource::Everything => patterns.push(Pattern::Everything),
        Resource::Arn { head, resource } => {
            let is_head = head.iter().zip(arn_head).all(|(template, part)| {
                template.fill(context).iter().any(|tokens| glob_matches(&collapsed(tokens), part))
            });
            if is_head {
                for tokens in resource.fill(context) {
                    let tokens = collapsed(&tokens);
                    let rest = remainders(&tokens, action.resource_prefix());
                    patterns.extend(rest.into_iter().map(Pattern::new));
                }
            }
        }
    }
}

/// Removes what another pattern makes superfluous, and puts the fastest first.
fn settle(patterns: &mut Vec<Pattern>) {
    if patterns.contains(&Pattern::Everything) {
        *patterns = vec![Pattern::Everything];
        return;
    }
    let mut settled: Vec<Pattern> = Vec::with_capacity(patterns.len());
    for pattern in patterns.drain(..) {
        if !settled.contains(&pattern) {
            settled.push(pattern);
        }
    }
    settled.sort_by_key(|pattern| matches!(pattern, Pattern::Glob(_)));
    settled.shrink_to_fit();
    *patterns = settled;
}
