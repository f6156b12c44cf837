//! Policy documents, read once, and policies, compiled for a connection.

use std::sync::Arc;

use ahash::AHashMap;
use komainu_model::Scope;
use komainu_registry::policy::{CompiledPolicies, ConnectionContext, PolicyDocument};
use parking_lot::Mutex;

/// Documents that are kept read. A fleet has dozens of policies; at the bound the cache starts again, which costs a few
/// microseconds per document.
const DOCUMENTS_MAX: usize = 4096;

/// Sets of policies that are kept compiled, at the bound as above.
const SHARED_MAX: usize = 4096;

/// Reads and compiles policies, and remembers what it can.
#[derive(Debug, Default)]
pub(crate) struct PolicyCache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    documents: AHashMap<Arc<str>, ReadDocument>,
    /// Compiled sets that are the same for every connection of a scope.
    shared: AHashMap<(Scope, Vec<Arc<str>>), Arc<CompiledPolicies>>,
}

#[derive(Debug, Clone)]
struct ReadDocument {
    document: Arc<PolicyDocument>,
    /// Whether what it allows can be different for two connections of a scope.
    depends_on_connection: bool,
    /// Whether it can ask for a field of the certificate.
    asks_for_certificate: bool,
}

impl ReadDocument {
    fn new(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        // An escape in the JSON text could hide what is looked for. Few documents have one, and for those the answer
        // is only slower.
        let has_escape = lower.contains('\\');
        Self {
            document: Arc::new(PolicyDocument::parse_in_use(text)),
            depends_on_connection: has_escape || lower.contains("${") || lower.contains("\"condition\""),
            asks_for_certificate: has_escape || lower.contains("iot:certificate."),
        }
    }
}

/// Policies that were read and not compiled yet.
pub(crate) struct PolicySet {
    documents: Vec<ReadDocument>,
    key: (Scope, Vec<Arc<str>>),
}

impl PolicySet {
    /// Whether a field of the certificate can matter.
    pub(crate) fn asks_for_certificate(&self) -> bool {
        self.documents.iter().any(|read| read.asks_for_certificate)
    }
}

impl PolicyCache {
    /// Reads the documents that count for a principal of `scope`.
    pub(crate) fn read(&self, scope: &Scope, texts: &[Arc<str>]) -> PolicySet {
        let mut kept = self.0.lock();
        let documents = texts
            .iter()
            .map(|text| {
                if let Some(read) = kept.documents.get(text) {
                    return read.clone();
                }
                if kept.documents.len() >= DOCUMENTS_MAX {
                    kept.documents.clear();
                }
                let read = ReadDocument::new(text);
                kept.documents.insert(text.clone(), read.clone());
                read
            })
            .collect();
        PolicySet { documents, key: (scope.clone(), texts.to_vec()) }
    }

    /// Compiles a set for a connection, or finds it compiled when it is the same for every connection.
    pub(crate) fn compile(&self, set: PolicySet, context: &ConnectionContext<'_>) -> Arc<CompiledPolicies> {
        let compile = || {
            let documents: Vec<_> = set.documents.iter().map(|read| read.document.clone()).collect();
            Arc::new(CompiledPolicies::compile(&documents, context))
        };
        if set.documents.iter().any(|read| read.depends_on_connection) {
            return compile();
        }
        if let Some(compiled) = self.0.lock().shared.get(&set.key) {
            return compiled.clone();
        }
        let compiled = compile();
        let mut kept = self.0.lock();
        if kept.shared.len() >= SHARED_MAX {
            kept.shared.clear();
        }
        kept.shared.insert(set.key, compiled.clone());
        compiled
    }
}

#[cfg(test)]
mod tests {
    use komainu_registry::policy::Action;

    use super::*;
    use crate::testing::scope;

    fn compile(cache: &PolicyCache, texts: &[&str], client: &str) -> Arc<CompiledPolicies> {
        let scope = scope();
        let texts: Vec<Arc<str>> = texts.iter().map(|text| Arc::from(*text)).collect();
        let set = cache.read(&scope, &texts);
        let context = ConnectionContext {
            scope: &scope,
            client_id: Some(client),
            source_ip: None,
            thing: None,
            certificate: None,
        };
        cache.compile(set, &context)
    }

    fn document(resource: &str) -> String {
        let statement = format!(r#"{{"Effect":"Allow","Action":"iot:Publish","Resource":"{resource}"}}"#);
        format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#)
    }

    #[test]
    fn what_is_the_same_for_all_is_compiled_once() {
        let cache = PolicyCache::default();
        let open = document("*");
        assert!(Arc::ptr_eq(&compile(&cache, &[&open], "a"), &compile(&cache, &[&open], "b")));
    }

    #[test]
    fn what_depends_on_the_connection_is_not_shared() {
        let check = |resource: &str| {
            let cache = PolicyCache::default();
            let own = document(resource);
            let (a, b) = (compile(&cache, &[&own], "a"), compile(&cache, &[&own], "b"));
            let may_publish = [&a, &b]
                .map(|compiled| [compiled.allows(Action::Publish, "t/a"), compiled.allows(Action::Publish, "t/b")]);
            assert_eq!(may_publish, [[true, false], [false, true]], "{resource}");
        };
        check("arn:aws:iot:eu-west-1:123456789012:topic/t/${iot:ClientId}");
        // The same with the dollar sign in disguise.
        check(r"arn:aws:iot:eu-west-1:123456789012:topic/t/\u0024{iot:ClientId}");
    }

    #[test]
    fn documents_that_ask_for_the_certificate_are_found() {
        let asks = |text: &str| ReadDocument::new(text).asks_for_certificate;
        assert!(asks(&document("topic/${IOT:certificate.Subject.CommonName}")));
        assert!(asks(&document(r"topic/${iot\u003aCertificate.Subject.CommonName}")));
        assert!(!asks(&document("topic/${iot:ClientId}")));
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = PolicyCache::default();
        for number in 0..SHARED_MAX + 10 {
            compile(&cache, &[&document(&format!("arn:aws:iot:eu-west-1:123456789012:topic/{number}"))], "a");
        }
        let kept = cache.0.lock();
        assert!(kept.documents.len() <= DOCUMENTS_MAX && kept.shared.len() <= SHARED_MAX);
    }
}
