//! What cores refuse, in the words of whoever reads it.

use komainu_model::{
    BehaviorProblem, Datapoints, ElementProblem, EndpointProblem, IndicatorRefusal, InvalidName, NameProblem,
    NeededCriteria, ProfilePart, ProfileProblem, SpecialAddress,
};
use komainu_ports::TopicRefusal;
use komainu_statistics::{Mistake, Problem};

use crate::published::PublishedKind;
use crate::shown::shown;
use crate::visit::Visit;

/// What is wrong with a profile. Nothing hostile is in it any more.
pub(crate) fn of_profile(visit: &Visit, problem: &ProfileProblem) -> String {
    match problem {
        ProfileProblem::Behavior { name, problem } => {
            let problem = of_behavior(visit, problem);
            visit.filled("refused.behavior", &[("name", &shown(name)), ("problem", &problem)])
        }
        ProfileProblem::DescriptionLong { chars, chars_max } => {
            let places = [("count", &*chars.to_string()), ("most", &*chars_max.to_string())];
            visit.filled("refused.description-long", &places)
        }
        ProfileProblem::DescriptionControls => visit.text("refused.description-controls").to_owned(),
        ProfileProblem::TooMany { part, count, count_max } => {
            let part = match part {
                ProfilePart::Behaviors => visit.text("refused.part-behaviors"),
                ProfilePart::AlertTargets => visit.text("refused.part-alert-targets"),
                ProfilePart::MetricsToRetain => visit.text("refused.part-metrics"),
            };
            let places = [("part", part), ("count", &*count.to_string()), ("most", &*count_max.to_string())];
            visit.filled("refused.too-many", &places)
        }
        ProfileProblem::ExportTopic { bytes_max } => {
            visit.filled("refused.export-topic", &[("most", &bytes_max.to_string())])
        }
        ProfileProblem::NoGroup(group) => visit.filled("refused.no-group", &[("name", &shown(group.as_str()))]),
        ProfileProblem::NotATopic(arn) => visit.filled("refused.not-a-topic", &[("arn", &shown(arn.as_str()))]),
        ProfileProblem::TooManyProfiles { count_max } => {
            visit.filled("refused.too-many-profiles", &[("most", &count_max.to_string())])
        }
        ProfileProblem::TooManyOfTarget { count_max } => {
            visit.filled("refused.too-many-of-target", &[("most", &count_max.to_string())])
        }
    }
}

/// What is wrong with a behavior. Nothing hostile is in it any more.
pub(crate) fn of_behavior(visit: &Visit, problem: &BehaviorProblem) -> String {
    match problem {
        BehaviorProblem::Name(error) => of_name(visit, visit.text("refused.the-name"), error),
        BehaviorProblem::NameTwice => visit.text("refused.name-twice").to_owned(),
        BehaviorProblem::NoMetric => visit.text("refused.no-metric").to_owned(),
        BehaviorProblem::Metric(InvalidName { problem: NameProblem::Form { .. }, .. }) => {
            visit.text("refused.metric-form").to_owned()
        }
        BehaviorProblem::Metric(error) => of_name(visit, visit.text("refused.the-metric"), error),
        BehaviorProblem::Dimension => visit.text("refused.dimension").to_owned(),
        BehaviorProblem::Datapoints { which, count, count_max } => {
            let field = match which {
                Datapoints::ToAlarm => visit.text("refused.to-alarm"),
                Datapoints::ToClear => visit.text("refused.to-clear"),
            };
            let places = [("field", field), ("count", &*count.to_string()), ("most", &*count_max.to_string())];
            visit.filled("refused.datapoints", &places)
        }
        BehaviorProblem::WindowRange { seconds, seconds_max } => {
            let places = [("seconds", &*seconds.to_string()), ("most", &*seconds_max.to_string())];
            visit.filled("refused.window-range", &places)
        }
        BehaviorProblem::WindowUnusual { seconds } => {
            visit.filled("refused.window-unusual", &[("seconds", &seconds.to_string())])
        }
        BehaviorProblem::NoWindow(metric) => visit.filled("refused.no-window", &[("metric", &shown(metric.as_str()))]),
        BehaviorProblem::WindowOfList(Some(metric)) => {
            visit.filled("refused.window-of-list", &[("metric", &shown(metric.as_str()))])
        }
        BehaviorProblem::WindowOfList(None) => visit.text("refused.window-of-a-list").to_owned(),
        BehaviorProblem::WindowOfMessages(metric) => {
            visit.filled("refused.window-of-messages", &[("metric", &shown(metric.as_str()))])
        }
        BehaviorProblem::NotOneWay => visit.text("refused.not-one-way").to_owned(),
        BehaviorProblem::StatisticNotAvailable => visit.text("refused.no-statistics").to_owned(),
        BehaviorProblem::LearningNotAvailable => visit.text("refused.no-learning").to_owned(),
        BehaviorProblem::OperatorWithLearning => visit.text("refused.operator-with-learning").to_owned(),
        BehaviorProblem::UnknownConfidence(level) => {
            visit.filled("refused.unknown-confidence", &[("text", &shown(level))])
        }
        BehaviorProblem::NoOperator => visit.text("refused.no-operator").to_owned(),
        BehaviorProblem::UnknownOperator(operator) => {
            visit.filled("refused.unknown-operator", &[("text", &shown(operator))])
        }
        BehaviorProblem::UnknownStatistic(statistic) => {
            visit.filled("refused.unknown-statistic", &[("text", &shown(statistic))])
        }
        BehaviorProblem::OperatorWithStatistic(operator) => {
            visit.filled("refused.operator-with-statistic", &[("text", &shown(operator))])
        }
        BehaviorProblem::NoValue => visit.text("refused.no-value").to_owned(),
        BehaviorProblem::NotOneValue => visit.text("refused.not-one-value").to_owned(),
        BehaviorProblem::NegativeCount(count) => visit.filled("refused.negative", &[("count", &count.to_string())]),
        BehaviorProblem::NumberNotFinite => visit.text("refused.not-finite").to_owned(),
        BehaviorProblem::OperatorWithValue { operator, value: _ } => {
            visit.filled("refused.operator-with-value", &[("text", &shown(operator))])
        }
        BehaviorProblem::Needs { metric, criteria } => {
            let needed = match criteria {
                NeededCriteria::Count => visit.text("refused.needs-count"),
                NeededCriteria::Number => visit.text("refused.needs-number"),
                NeededCriteria::Ports => visit.text("refused.needs-ports"),
                NeededCriteria::Networks => visit.text("refused.needs-networks"),
                NeededCriteria::NoPorts => visit.text("refused.needs-no-ports"),
            };
            visit.filled("refused.needs", &[("metric", &shown(metric.as_str())), ("needed", needed)])
        }
        BehaviorProblem::TooManyElements { value: _, count, count_max } => {
            let places = [("count", &*count.to_string()), ("most", &*count_max.to_string())];
            visit.filled("refused.too-many-elements", &places)
        }
        BehaviorProblem::Element { value: _, index, problem } => {
            let problem = match problem {
                ElementProblem::NotFinite => visit.text("refused.not-finite").to_owned(),
                ElementProblem::NotANetwork => visit.text("refused.not-a-network").to_owned(),
                ElementProblem::NotAPort(port) => visit.filled("refused.not-a-port", &[("port", &port.to_string())]),
                ElementProblem::TooLong { bytes, bytes_max } => {
                    let places = [("bytes", &*bytes.to_string()), ("most", &*bytes_max.to_string())];
                    visit.filled("refused.element-long", &places)
                }
            };
            // People count from one.
            let place = (index + 1).to_string();
            visit.filled("refused.element", &[("place", &place), ("problem", &problem)])
        }
    }
}

/// Why `what`, in the words of whoever reads it, is no name.
pub(crate) fn of_name(visit: &Visit, what: &str, error: &InvalidName) -> String {
    match &error.problem {
        NameProblem::Empty => visit.filled("refused.name-empty", &[("what", what)]),
        NameProblem::TooLong { bytes, bytes_max } => {
            let places = [("what", what), ("bytes", &*bytes.to_string()), ("most", &*bytes_max.to_string())];
            visit.filled("refused.name-long", &places)
        }
        NameProblem::Character { found, allowed } => {
            let places = [("what", what), ("found", &*shown(&found.to_string())), ("allowed", allowed)];
            visit.filled("refused.name-character", &places)
        }
        // The form is a sentence in English for programmers; which name it is says enough.
        NameProblem::Form { expected: _ } => visit.filled("refused.name-form", &[("what", what)]),
    }
}

/// Why something is not done to a topic. Nothing hostile is in it any more.
pub(crate) fn of_topic(visit: &Visit, refusal: &TopicRefusal) -> String {
    match refusal {
        TopicRefusal::Name(error) => of_name(visit, visit.text("refused.the-topic-name"), error),
        TopicRefusal::Fifo => visit.text("refused.fifo").to_owned(),
        TopicRefusal::Endpoint(problem) => of_endpoint(visit, problem),
        TopicRefusal::TooManyTopics(most) => visit.filled("refused.too-many-topics", &[("most", &most.to_string())]),
        TopicRefusal::TooManySubscriptions(most) => {
            visit.filled("refused.too-many-subscriptions", &[("most", &most.to_string())])
        }
        TopicRefusal::TooOften => visit.text("refused.too-often").to_owned(),
        TopicRefusal::Other(said) => visit.filled("refused.other", &[("said", &shown(said))]),
    }
}

fn of_endpoint(visit: &Visit, problem: &EndpointProblem) -> String {
    match problem {
        EndpointProblem::MailLong { bytes_max } => {
            visit.filled("refused.mail-long", &[("most", &bytes_max.to_string())])
        }
        EndpointProblem::NoMail => visit.text("refused.no-mail").to_owned(),
        EndpointProblem::MailName(text) => visit.filled("refused.mail-name", &[("text", &shown(text))]),
        EndpointProblem::MailDomain(text) => visit.filled("refused.mail-domain", &[("text", &shown(text))]),
        EndpointProblem::UrlLong { bytes_max } => visit.filled("refused.url-long", &[("most", &bytes_max.to_string())]),
        EndpointProblem::UrlCharacter(bad) => {
            visit.filled("refused.url-character", &[("text", &shown(&bad.to_string()))])
        }
        EndpointProblem::UrlStart { scheme } => visit.filled("refused.url-start", &[("scheme", scheme)]),
        EndpointProblem::UrlFragment => visit.text("refused.url-fragment").to_owned(),
        EndpointProblem::Port(text) => visit.filled("refused.url-port", &[("text", &shown(text))]),
        EndpointProblem::Ipv6(text)
        | EndpointProblem::Ipv4(text)
        | EndpointProblem::HostName(text)
        | EndpointProblem::Host(text) => visit.filled("refused.url-host", &[("text", &shown(text))]),
        EndpointProblem::Denied(denied) => {
            visit.filled("refused.not-sent-there", &[("address", &denied.address.to_string())])
        }
    }
}

/// What of a file with publications is not taken, with its place. Nothing hostile is in it any more.
pub(crate) fn of_published(visit: &Visit, kind: PublishedKind, problem: &Problem) -> String {
    let mistake = of_mistake(visit, &problem.reason);
    let places = [("place", &*problem.entry.to_string()), ("mistake", &*mistake)];
    match (problem.entry, kind) {
        (0, _) => mistake,
        (_, PublishedKind::Kev) => visit.filled("mistake.in-entry", &places),
        (_, PublishedKind::Epss | PublishedKind::Notes) => visit.filled("mistake.in-line", &places),
    }
}

fn of_mistake(visit: &Visit, mistake: &Mistake) -> String {
    match mistake {
        Mistake::FileLarge { bytes, bytes_max } => {
            let places = [("bytes", &*bytes.to_string()), ("most", &*bytes_max.to_string())];
            visit.filled("mistake.file-large", &places)
        }
        Mistake::NoList(said) => visit.filled("mistake.no-list", &[("said", &shown(said))]),
        Mistake::NoWeakness(said) => visit.filled("mistake.no-weakness", &[("said", &shown(said))]),
        Mistake::LeftOut { count, read_max } => {
            let places = [("count", &*count.to_string()), ("most", &*read_max.to_string())];
            visit.filled("mistake.left-out", &places)
        }
        Mistake::Full { count_max } => visit.filled("mistake.full", &[("most", &count_max.to_string())]),
        Mistake::More(count) => visit.filled("mistake.more", &[("count", &count.to_string())]),
        Mistake::LineLong { bytes_max } => visit.filled("mistake.line-long", &[("most", &bytes_max.to_string())]),
        Mistake::ManyCells { count_max } => visit.filled("mistake.many-cells", &[("most", &count_max.to_string())]),
        Mistake::OpenQuote => visit.text("mistake.open-quote").to_owned(),
        Mistake::NotUtf8 => visit.text("mistake.not-utf8").to_owned(),
        Mistake::NoColumn(name) => visit.filled("mistake.no-column", &[("name", name)]),
        Mistake::UnknownColumn { known } => visit.filled("mistake.unknown-column", &[("names", &known.join(", "))]),
        Mistake::ColumnTwice(name) => visit.filled("mistake.column-twice", &[("name", &shown(name))]),
        Mistake::MoreCells => visit.text("mistake.more-cells").to_owned(),
        Mistake::NoCve(name) => visit.filled("mistake.no-cve", &[("name", name)]),
        Mistake::NoDay(name) => visit.filled("mistake.no-day", &[("name", name)]),
        Mistake::NoShare(name) => visit.filled("mistake.no-share", &[("name", name)]),
        Mistake::NoTitle => visit.text("mistake.no-title").to_owned(),
        Mistake::NoLink => visit.text("mistake.no-link").to_owned(),
    }
}

/// What others said in a language of their own: an operating system, a mail server.
pub(crate) fn quoted(visit: &Visit, said: &str) -> String {
    visit.filled("refused.quoted", &[("said", &shown(said))])
}

/// Why something is no indicator. Nothing hostile is in it any more.
pub(crate) fn of_indicator(visit: &Visit, refusal: &IndicatorRefusal) -> String {
    match refusal {
        IndicatorRefusal::Address(kind) => visit.filled("refused.address", &[("kind", special_address(visit, *kind))]),
        IndicatorRefusal::OwnNetwork => visit.text("refused.own-network").to_owned(),
        IndicatorRefusal::OwnFleet => visit.text("refused.own-fleet").to_owned(),
        IndicatorRefusal::Shared(name) => visit.filled("refused.shared", &[("name", &shown(name))]),
        IndicatorRefusal::LocalName => visit.text("refused.local-name").to_owned(),
        IndicatorRefusal::DocumentationName => visit.text("refused.documentation-name").to_owned(),
        IndicatorRefusal::OwnName => visit.text("refused.own-name").to_owned(),
        IndicatorRefusal::TakesShared(name) => visit.filled("refused.takes-shared", &[("name", &shown(name))]),
        IndicatorRefusal::Revoked => visit.text("refused.revoked").to_owned(),
        IndicatorRefusal::TooMany(count) => {
            visit.filled("refused.too-many-indicators", &[("count", &count.to_string())])
        }
        IndicatorRefusal::NeedsReview(why) => {
            visit.filled("refused.needs-review", &[("why", &of_indicator(visit, why))])
        }
        IndicatorRefusal::NeedsPort(why) => visit.filled("refused.needs-port", &[("why", &of_indicator(visit, why))]),
        IndicatorRefusal::Other(said) => shown(said),
    }
}

fn special_address(visit: &Visit, kind: SpecialAddress) -> &'static str {
    match kind {
        SpecialAddress::Unspecified => visit.text("refused.address-unspecified"),
        SpecialAddress::Loopback => visit.text("refused.address-loopback"),
        SpecialAddress::Private => visit.text("refused.address-private"),
        SpecialAddress::UniqueLocal => visit.text("refused.address-unique-local"),
        SpecialAddress::CarrierTranslation => visit.text("refused.address-carrier"),
        SpecialAddress::LinkLocal => visit.text("refused.address-link-local"),
        SpecialAddress::Documentation | SpecialAddress::DocumentationV6 | SpecialAddress::DocumentationV6Long => {
            visit.text("refused.address-documentation")
        }
        SpecialAddress::Measurements => visit.text("refused.address-measurements"),
        SpecialAddress::Protocol | SpecialAddress::Relay => visit.text("refused.address-protocol"),
        SpecialAddress::Multicast => visit.text("refused.address-multicast"),
        SpecialAddress::Broadcast | SpecialAddress::Reserved => visit.text("refused.address-reserved"),
    }
}
