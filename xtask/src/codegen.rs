//! Writes `crates/komainu-aws/src/generated` from the service models in the botocore package.
//!
//! Names and types only; no text of AWS's documentation is taken. All operations of a service go into its table, so
//! that a request for one that Komainu does not have yet can be told from a wrong path; structures are written for
//! the operations in [`SERVICES`] only, because each one costs compile time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// What to generate.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail when the committed files are not what would be written.
    #[arg(long)]
    check: bool,
    /// The folder of the botocore package. Without it, `python3` is asked where it has one.
    #[arg(long, value_name = "DIR")]
    botocore: Option<PathBuf>,
}

impl Args {
    /// Changes nothing, and checks against the package in this folder.
    pub(crate) fn check_against(botocore: PathBuf) -> Self {
        Self { check: true, botocore: Some(botocore) }
    }
}

/// A service and the operations that Komainu has.
struct Service {
    /// The folder in botocore's `data`, `iot/2015-05-28`.
    model: &'static str,
    /// The generated module.
    module: &'static str,
    /// The operations with structures.
    operations: &'static [&'static str],
}

const SERVICES: [Service; 4] = [
    Service {
        model: "iot/2015-05-28",
        module: "iot",
        operations: &[
            // Things.
            "AttachThingPrincipal",
            "CreateThing",
            "DeleteThing",
            "DescribeThing",
            "DetachThingPrincipal",
            "ListPrincipalThings",
            "ListPrincipalThingsV2",
            "ListThingPrincipals",
            "ListThingPrincipalsV2",
            "ListThings",
            "UpdateThing",
            // Thing types.
            "CreateThingType",
            "DeleteThingType",
            "DeprecateThingType",
            "DescribeThingType",
            "ListThingTypes",
            "UpdateThingType",
            // Static groups.
            "AddThingToThingGroup",
            "CreateThingGroup",
            "DeleteThingGroup",
            "DescribeThingGroup",
            "ListThingGroups",
            "ListThingGroupsForThing",
            "ListThingsInThingGroup",
            "RemoveThingFromThingGroup",
            "UpdateThingGroup",
            "UpdateThingGroupsForThing",
            // Certificates.
            "CreateCertificateFromCsr",
            "CreateKeysAndCertificate",
            "DeleteCertificate",
            "DescribeCertificate",
            "ListCertificates",
            "RegisterCertificateWithoutCA",
            "UpdateCertificate",
            // Policies.
            "AttachPolicy",
            "CreatePolicy",
            "CreatePolicyVersion",
            "DeletePolicy",
            "DeletePolicyVersion",
            "DetachPolicy",
            "GetPolicy",
            "GetPolicyVersion",
            "ListAttachedPolicies",
            "ListPolicies",
            "ListPolicyVersions",
            "ListTargetsForPolicy",
            "SetDefaultPolicyVersion",
            // Endpoint and tags.
            "DescribeEndpoint",
            "ListTagsForResource",
            "TagResource",
            "UntagResource",
            // Security profiles.
            "AttachSecurityProfile",
            "CreateSecurityProfile",
            "DeleteSecurityProfile",
            "DescribeSecurityProfile",
            "DetachSecurityProfile",
            "ListSecurityProfiles",
            "ListSecurityProfilesForTarget",
            "ListTargetsForSecurityProfile",
            "UpdateSecurityProfile",
            "ValidateSecurityProfileBehaviors",
            // Violations and values.
            "ListActiveViolations",
            "ListMetricValues",
            "ListViolationEvents",
            "PutVerificationStateOnViolation",
        ],
    },
    Service { model: "iot-data/2015-05-28", module: "iot_data", operations: &["DeleteConnection", "Publish"] },
    Service {
        model: "sns/2010-03-31",
        module: "sns",
        operations: &[
            "ConfirmSubscription",
            "CreateTopic",
            "DeleteTopic",
            "GetSubscriptionAttributes",
            "GetTopicAttributes",
            "ListSubscriptions",
            "ListSubscriptionsByTopic",
            "ListTagsForResource",
            "ListTopics",
            "Publish",
            "PublishBatch",
            "SetSubscriptionAttributes",
            "SetTopicAttributes",
            "Subscribe",
            "TagResource",
            "Unsubscribe",
            "UntagResource",
        ],
    },
    Service { model: "sts/2011-06-15", module: "sts", operations: &["GetCallerIdentity"] },
];

/// Writes the generated files, or compares them.
pub(crate) fn run(args: &Args) -> Result<()> {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = xtask.parent().context("xtask stands in the workspace")?;
    let generated = root.join("crates/komainu-aws/src/generated");
    let botocore = match &args.botocore {
        Some(folder) => folder.clone(),
        None => find_botocore()?,
    };
    check_version(&botocore, &xtask.join("botocore.version"))?;
    let mut stale = Vec::new();
    for service in &SERVICES {
        let model = read_model(&botocore, service.model)?;
        let text = rustfmt(&generate(service, &model).with_context(|| format!("in the model {}", service.model))?)?;
        let file = generated.join(format!("{}.rs", service.module));
        if std::fs::read_to_string(&file).is_ok_and(|committed| committed == text) {
            continue;
        }
        if args.check {
            stale.push(service.module);
        } else {
            std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            println!("wrote {}", file.display());
        }
    }
    ensure!(stale.is_empty(), "not what `cargo xtask codegen` would write: {}", stale.join(", "));
    Ok(())
}

fn find_botocore() -> Result<PathBuf> {
    let script = "import botocore, os; print(os.path.dirname(botocore.__file__))";
    let output = Command::new("python3").args(["-c", script]).stderr(Stdio::null()).output();
    let output = output.context("cannot ask python3 for its botocore; give `--botocore DIR`")?;
    ensure!(output.status.success(), "python3 has no botocore; install one, or give `--botocore DIR`");
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// The models of another version would give other files, and nobody would know why.
fn check_version(botocore: &Path, pin: &Path) -> Result<()> {
    let pinned = std::fs::read_to_string(pin).with_context(|| format!("cannot read {}", pin.display()))?;
    let init = botocore.join("__init__.py");
    let init_text = std::fs::read_to_string(&init).with_context(|| format!("cannot read {}", init.display()))?;
    let found = init_text
        .lines()
        .find_map(|line| line.strip_prefix("__version__ = "))
        .map(|version| version.trim_matches(['\'', '"']))
        .context("botocore does not say its version")?;
    ensure!(found == pinned.trim(), "botocore is {found}, the models are taken from {}", pinned.trim());
    Ok(())
}

fn read_model(botocore: &Path, model: &str) -> Result<Value> {
    let plain = botocore.join("data").join(model).join("service-2.json");
    let packed = plain.with_extension("json.gz");
    let text = if plain.exists() {
        std::fs::read(&plain)?
    } else {
        let output = Command::new("gzip").arg("-dc").arg(&packed).stderr(Stdio::inherit()).output();
        let output = output.context("cannot run gzip")?;
        ensure!(output.status.success(), "cannot unpack {}", packed.display());
        output.stdout
    };
    serde_json::from_slice(&text).with_context(|| format!("cannot read the model {model}"))
}

fn rustfmt(text: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config", "max_width=120,use_small_heuristics=Max"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run rustfmt")?;
    let mut stdin = child.stdin.take().context("rustfmt has a standard input")?;
    let input = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().expect("writing to a pipe does not panic")?;
    ensure!(output.status.success(), "rustfmt refused the generated code");
    Ok(String::from_utf8(output.stdout)?)
}

/// In which directions a structure travels.
#[derive(Debug, Default, Clone, Copy)]
struct Direction {
    input: bool,
    output: bool,
}

fn generate(service: &Service, model: &Value) -> Result<String> {
    let metadata = &model["metadata"];
    let is_query = match metadata["protocol"].as_str() {
        Some("rest-json") => false,
        Some("query") => true,
        other => bail!("protocol {other:?} is not known"),
    };
    let operations = model["operations"].as_object().context("the model has operations")?;
    let operations: BTreeMap<&str, &Value> =
        operations.iter().map(|(name, operation)| (name.as_str(), operation)).collect();
    let shapes = Shapes(&model["shapes"]);

    let mut inputs = BTreeSet::new();
    let mut outputs = BTreeSet::new();
    let mut directions: BTreeMap<&str, Direction> = BTreeMap::new();
    for name in service.operations {
        let operation = operations.get(*name).with_context(|| format!("the model has no operation {name}"))?;
        let input = operation["input"]["shape"].as_str().with_context(|| format!("{name} has no input"))?;
        inputs.insert(input);
        shapes.walk(input, &mut directions, |direction| &mut direction.input)?;
        if let Some(output) = operation["output"]["shape"].as_str() {
            outputs.insert(output);
            shapes.walk(output, &mut directions, |direction| &mut direction.output)?;
        }
    }

    let mut body = String::new();
    for (name, direction) in &directions {
        shapes.write_structure(name, *direction, &mut body)?;
        if inputs.contains(name) {
            shapes.write_input(name, is_query, &mut body)?;
        }
        if outputs.contains(name) {
            shapes.write_output(name, is_query, &mut body)?;
        }
    }

    let mut text = format!(
        "//! Generated by `cargo xtask codegen` from botocore's `{}/service-2.json`; do not edit.\n\n",
        service.model
    );
    write_uses(&body, &mut text);
    if is_query {
        let namespace = metadata["xmlNamespace"].as_str().context("a query service has a namespace")?;
        writeln!(text, "pub const XML_NAMESPACE: &str = {namespace:?};\n")?;
    }
    writeln!(text, "pub const OPERATIONS: &[Operation] = &[")?;
    for (name, operation) in operations {
        let method = operation["http"]["method"].as_str().context("an operation has a method")?;
        let uri = operation["http"]["requestUri"].as_str().context("an operation has a URI")?;
        ensure!(!uri.contains('?'), "{name} has a fixed query string, which the router does not know");
        writeln!(text, "Operation {{ name: {name:?}, method: {method:?}, uri: {uri:?} }},")?;
    }
    writeln!(text, "];\n\n{body}")?;
    Ok(text)
}

fn write_uses(body: &str, text: &mut String) {
    let mut uses: Vec<String> = Vec::new();
    if body.contains("BTreeMap<") {
        uses.push("use std::collections::BTreeMap;\n\n".to_owned());
    }
    let serde = if body.contains("Serialize)]") { "{Deserialize, Serialize}" } else { "Deserialize" };
    uses.push(format!("use serde::{serde};\n\n"));
    let mut input = vec!["Input", "InputError", "Request"];
    for (item, mark) in
        [("Binding", "Binding {"), ("Place", "Place::"), ("read_form", "read_form("), ("read_rest", "read_rest(")]
    {
        if body.contains(mark) {
            input.push(item);
        }
    }
    uses.push(format!("use crate::input::{{{}}};\n", input.join(", ")));
    for write in ["write_json", "write_xml"] {
        if body.contains(&format!("{write}(")) {
            uses.push(format!("use crate::output::{{Output, {write}}};\n"));
        }
    }
    uses.push("use crate::operation::Operation;\n".to_owned());
    let values: Vec<&str> = ["Blob", "EpochSeconds"]
        .into_iter()
        .filter(|name| body.contains(&format!("<{name}>")) || body.contains(&format!(": {name},")))
        .collect();
    if !values.is_empty() {
        uses.push(format!("use crate::value::{{{}}};\n", values.join(", ")));
    }
    text.extend(uses);
    text.push('\n');
}

/// The shapes of a model.
struct Shapes<'a>(&'a Value);

impl<'a> Shapes<'a> {
    fn shape(&self, name: &str) -> Result<&'a Value> {
        self.0.get(name).with_context(|| format!("the model has no shape {name}"))
    }

    fn kind(&self, name: &str) -> Result<&'a str> {
        self.shape(name)?["type"].as_str().with_context(|| format!("shape {name} has no type"))
    }

    fn members(&self, name: &str) -> Result<impl Iterator<Item = (&'a str, &'a Value)> + use<'a>> {
        let members = self.shape(name)?["members"].as_object().with_context(|| format!("{name} has no members"))?;
        // By name, whatever order the JSON reader keeps.
        let members: BTreeMap<_, _> =
            members.iter().map(|(member, definition)| (member.as_str(), definition)).collect();
        Ok(members.into_iter())
    }

    /// Marks the structures that a shape is made of.
    fn walk(
        &self,
        name: &'a str,
        directions: &mut BTreeMap<&'a str, Direction>,
        mark: fn(&mut Direction) -> &mut bool,
    ) -> Result<()> {
        let parts: Vec<&Value> = match self.kind(name)? {
            "structure" => {
                if std::mem::replace(mark(directions.entry(name).or_default()), true) {
                    return Ok(());
                }
                self.members(name)?.map(|(_, definition)| definition).collect()
            }
            "list" => vec![&self.shape(name)?["member"]],
            "map" => vec![&self.shape(name)?["key"], &self.shape(name)?["value"]],
            _ => Vec::new(),
        };
        for part in parts {
            self.walk(part["shape"].as_str().context("a part has a shape")?, directions, mark)?;
        }
        Ok(())
    }

    fn rust_type(&self, name: &str) -> Result<String> {
        let shape = self.shape(name)?;
        let part = |part: &str| -> Result<String> {
            self.rust_type(shape[part]["shape"].as_str().with_context(|| format!("{name} has no {part}"))?)
        };
        ensure!(shape["flattened"].is_null(), "{name} is flattened, which the form and XML code does not know");
        Ok(match self.kind(name)? {
            "string" => "String".to_owned(),
            "integer" => "i32".to_owned(),
            "long" => "i64".to_owned(),
            "double" => "f64".to_owned(),
            "boolean" => "bool".to_owned(),
            "timestamp" => "EpochSeconds".to_owned(),
            "blob" => "Blob".to_owned(),
            "list" => format!("Vec<{}>", part("member")?),
            "map" => format!("BTreeMap<{}, {}>", part("key")?, part("value")?),
            "structure" => type_name(name),
            other => bail!("{name} is of type {other}, which the generator does not know"),
        })
    }

    fn write_structure(&self, name: &str, direction: Direction, text: &mut String) -> Result<()> {
        let mut derives = vec!["Debug", "Clone", "Default", "PartialEq"];
        derives.extend(direction.input.then_some("Deserialize"));
        derives.extend(direction.output.then_some("Serialize"));
        let required: BTreeSet<&str> =
            self.shape(name)?["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        writeln!(text, "#[derive({})]", derives.join(", "))?;
        let members: Vec<_> = self.members(name)?.collect();
        let styles = [("camelCase", camel_case as fn(&str) -> String), ("PascalCase", pascal_case)];
        let style = styles
            .into_iter()
            .max_by_key(|(_, style)| {
                members.iter().filter(|(member, _)| style(&snake_case(member)) == **member).count()
            })
            .context("there are styles")?;
        if !members.is_empty() {
            writeln!(text, "#[serde(rename_all = {:?})]", style.0)?;
        }
        writeln!(text, "pub struct {} {{", type_name(name))?;
        for (member, definition) in members {
            let shape = definition["shape"].as_str().context("a member has a shape")?;
            let field = snake_case(member);
            let mut attributes = Vec::new();
            if style.1(&field) != member {
                attributes.push(format!("rename = {member:?}"));
            }
            let rust_type = self.rust_type(shape)?;
            let rust_type = if required.contains(member) {
                rust_type
            } else {
                if direction.output {
                    attributes.push("skip_serializing_if = \"Option::is_none\"".to_owned());
                }
                format!("Option<{rust_type}>")
            };
            if !attributes.is_empty() {
                writeln!(text, "#[serde({})]", attributes.join(", "))?;
            }
            let field = if KEYWORDS.contains(&field.as_str()) { format!("r#{field}") } else { field };
            writeln!(text, "pub {field}: {rust_type},")?;
        }
        writeln!(text, "}}\n")?;
        Ok(())
    }

    fn write_input(&self, name: &str, is_query: bool, text: &mut String) -> Result<()> {
        writeln!(text, "impl Input for {} {{", type_name(name))?;
        writeln!(text, "fn read(request: &Request<'_>) -> Result<Self, InputError> {{")?;
        if is_query {
            writeln!(text, "read_form(request)")?;
        } else {
            let payload = self.shape(name)?["payload"].as_str();
            let mut bindings = Vec::new();
            for (member, definition) in self.members(name)? {
                let location_name = definition["locationName"].as_str().unwrap_or(member);
                let place = match definition["location"].as_str() {
                    None if payload == Some(member) => {
                        let shape = definition["shape"].as_str().context("a member has a shape")?;
                        ensure!(self.kind(shape)? == "blob", "the payload {member} of {name} is not a blob");
                        "Place::Payload".to_owned()
                    }
                    None => {
                        ensure!(location_name == member, "member {member} of {name} has another name in the body");
                        continue;
                    }
                    Some("uri") => format!("Place::Label({location_name:?})"),
                    Some("querystring") => format!("Place::Query({location_name:?})"),
                    Some("header") if definition["jsonvalue"] == true => {
                        format!("Place::JsonHeader({:?})", location_name.to_ascii_lowercase())
                    }
                    Some("header") => format!("Place::Header({:?})", location_name.to_ascii_lowercase()),
                    Some(other) => bail!("member {member} of {name} is in {other}, which is not known"),
                };
                bindings.push(format!("Binding {{ member: {member:?}, place: {place} }}"));
            }
            writeln!(text, "read_rest(&[{}], request)", bindings.join(", "))?;
        }
        writeln!(text, "}}\n}}\n")?;
        Ok(())
    }

    fn write_output(&self, name: &str, is_query: bool, text: &mut String) -> Result<()> {
        ensure!(self.shape(name)?["payload"].is_null(), "the output {name} is a payload");
        for (member, definition) in self.members(name)? {
            let is_plain = definition["location"].is_null() && definition["locationName"].is_null();
            ensure!(is_plain, "member {member} of the output {name} is not in the body under its name");
        }
        let write = if is_query { "write_xml" } else { "write_json" };
        writeln!(text, "impl Output for {} {{", type_name(name))?;
        writeln!(text, "fn write(&self) -> Option<String> {{ {write}(self) }}\n}}\n")?;
        Ok(())
    }
}

const KEYWORDS: [&str; 4] = ["type", "match", "ref", "use"];

fn type_name(shape: &str) -> String {
    pascal_case(&snake_case(shape))
}

/// `certificatePem` and `CertificatePEM` become `certificate_pem`, `ThingsV2` becomes `things_v2`.
fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let follows_small = at > 0 && !letters[at - 1].is_ascii_uppercase();
        let starts_word = at > 0 && letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && (follows_small || starts_word) && at > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// What serde makes of a field's name with `rename_all = "PascalCase"`.
fn pascal_case(snake: &str) -> String {
    snake.split('_').map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}

/// What serde makes of a field's name with `rename_all = "camelCase"`.
fn camel_case(snake: &str) -> String {
    let pascal = pascal_case(snake);
    pascal[..1].to_ascii_lowercase() + &pascal[1..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_rust_names() {
        let check = |name: &str, snake: &str, pascal: &str| {
            assert_eq!((snake_case(name).as_str(), type_name(name).as_str()), (snake, pascal));
        };
        check("thingName", "thing_name", "ThingName");
        check("certificatePEM", "certificate_pem", "CertificatePem");
        check("ListThingPrincipalsV2Request", "list_thing_principals_v2_request", "ListThingPrincipalsV2Request");
        check(
            "RegisterCertificateWithoutCARequest",
            "register_certificate_without_ca_request",
            "RegisterCertificateWithoutCaRequest",
        );
        check("TopicArn", "topic_arn", "TopicArn");
        check("SNS", "sns", "Sns");
    }
}
