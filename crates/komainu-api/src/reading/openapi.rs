//! The description of what can be read (OpenAPI 3.1), written from the table by which requests are read.

use serde_json::{Map, Value, json};

use super::{Kind, PATHS, PREFIX, Parameter, Path};

/// The description.
pub(super) fn description() -> Value {
    let paths: Map<String, Value> =
        PATHS.iter().map(|path| (format!("{PREFIX}{}", path.name), json!({"get": operation(path)}))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Komainu",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Attacks, alarms, sensors and indicators, for reading.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-apikey",
                    "description": "An access key as ID:SECRET, with the role viewer at least.",
                },
            },
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {
                            "type": "object",
                            "required": ["code", "message"],
                            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
                        },
                    },
                },
            },
        },
    })
}

fn operation(path: &Path) -> Value {
    let parameters: Vec<Value> = path.parameters.iter().map(parameter).collect();
    let items = json!({
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {"type": "array", "items": {"type": "object", "description": path.items}},
            "rows": {"type": "integer", "description": "How many rows are meant, when they are counted."},
            "next": {"type": "string", "description": "What to give as `after` for the page that follows."},
        },
    });
    let error = |about: &str| {
        let content = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}});
        json!({"description": about, "content": content})
    };
    json!({
        "operationId": path.name,
        "summary": path.about,
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "The answer.",
                "content": {"application/json": {"schema": items}, "text/csv": {"schema": {"type": "string"}}},
            },
            "400": error("The question makes no sense."),
            "401": error("There is no key, or it opens nothing."),
            "422": error("The answer would be too large: ask for less."),
            "429": error("Too many others ask: come again after Retry-After seconds."),
            "503": error("The store does not answer: come again after Retry-After seconds."),
        },
    })
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Number { max } => json!({"type": "integer", "minimum": 1, "maximum": max}),
        Kind::Word(words) => json!({"type": "string", "enum": words}),
    };
    json!({"name": parameter.name, "in": "query", "required": false, "description": parameter.about, "schema": schema})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_all_paths_and_parameters() {
        let page = include_str!("../../../../docs/read-api.md");
        for path in PATHS {
            let section = page.split("\n## ").find(|section| section.starts_with(&format!("{PREFIX}{}\n", path.name)));
            let section = section.unwrap_or_else(|| panic!("docs/read-api.md has no section {}", path.name));
            let documented: Vec<_> =
                section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
            let described: Vec<_> = path.parameters.iter().map(|parameter| parameter.name).collect();
            assert_eq!(documented, described, "{}", path.name);
        }
    }
}
