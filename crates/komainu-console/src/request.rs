//! One request: reading it, finding out who sent it, and whether they may; then the page.

use std::convert::Infallible;
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, USER_AGENT, VARY,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use komainu_model::Timestamp;
use komainu_ports::{AUDIT_SUBJECT_BYTES_MAX, Actor, AuditAction, AuditEntry, AuditOutcome};
use tokio::time::Instant;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span, debug_span, error, warn};

use crate::accounts::digest_of;
use crate::assets::Asset;
use crate::attempts::TooMany;
use crate::fields::Fields;
use crate::form_key::{self, FormKey};
use crate::problem::Problem;
use crate::reply::{Reply, ReplyBody};
use crate::routes::{self, Answer, Answered};
use crate::visit::{SignedIn, Theme, Visit};
use crate::{Console, browsers, cookie, events, provider};
use komainu_texts::Texts;

/// The largest form, in bytes. The largest of ours is a security profile in its editor.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// A form must be there after this time.
const BODY_WAIT_MAX: Duration = Duration::from_secs(30);

/// A page must be there after this time, waiting for its turn included.
const PAGE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Bytes of what a browser calls itself that a session keeps.
const AGENT_BYTES_MAX: usize = 256;

/// How long a browser keeps what the forms of strangers are bound to: as long as somebody may look at the page for signing in.
const VISIT_AGE: Duration = Duration::from_secs(24 * 3600);

/// Where load balancers and monitors ask.
const HEALTH: &str = "/healthz";

/// Answers a request.
pub(crate) async fn answer(
    console: Arc<Console>,
    address: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let (head, body) = request.into_parts();
    let address = client_of(address, &head.headers, &console.proxies);
    let scope = console.cookies;
    let reply = match console.assets.find(head.uri.path()) {
        Some(asset) => asset_reply(asset, &head.headers),
        None => {
            let span = debug_span!(
                "console.request",
                otel.name = Empty,
                otel.kind = "server",
                http.request.method = if head.method == Method::POST { "POST" } else { "GET" },
                network.peer.address = %address,
                http.route = Empty,
                http.response.status_code = Empty,
            );
            let reply = page_reply(&console, address, head, body).instrument(span.clone()).await;
            span.record("http.response.status_code", i64::from(reply.status().as_u16()));
            reply
        }
    };
    Ok(reply.into_response(scope))
}

/// From where a request comes: a proxy of ours adds that as the last word of `X-Forwarded-For`; what stands before it, and
/// what others say, is anybody's word.
fn client_of(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    if !proxies.contains(&peer) {
        return peer;
    }
    let lines = headers.get_all("x-forwarded-for");
    let last = lines.iter().next_back().and_then(|line| line.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    last.map_or(peer, |client: IpAddr| client.to_canonical())
}

fn asset_reply(asset: &Asset, headers: &HeaderMap) -> Reply {
    let takes_gzip = text(headers, ACCEPT_ENCODING.as_str()).contains("gzip");
    let body = if takes_gzip { asset.gzipped.clone() } else { asset.plain.clone() };
    let reply = Reply::of(StatusCode::OK, asset.media_type, body)
        .with(CACHE_CONTROL, "public, max-age=31536000, immutable")
        .with(VARY, "accept-encoding");
    if takes_gzip { reply.with(CONTENT_ENCODING, "gzip") } else { reply }
}

async fn page_reply(console: &Arc<Console>, address: IpAddr, head: Parts, body: Incoming) -> Reply {
    let form = read_form(&head, body).await;
    let (now, deadline) = (console.clock.now(), Instant::now() + PAGE_WAIT_MAX);
    let to_stranger = |problem: Problem| problem.page(&visit(console, address, &head, None, now), None);
    let form = match form {
        Ok(form) => form,
        Err(problem) => return to_stranger(problem),
    };
    let Ok(turn) = tokio::time::timeout_at(deadline, console.turns.clone().acquire_owned()).await else {
        return to_stranger(Problem::Busy);
    };
    let work = {
        let (console, head, span) = (console.clone(), head.clone(), Span::current());
        // Stores block; and what began is done to its end, whether somebody waits for it or not.
        tokio::task::spawn_blocking(move || {
            let (_turn, _span) = (turn, span.entered());
            if head.uri.path() == HEALTH { health(&console) } else { page(&console, address, &head, form, now) }
        })
    };
    match tokio::time::timeout_at(deadline, work).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(failed)) => {
            error!(event = events::FAILED, path = head.uri.path(), error = %failed, "a page failed");
            to_stranger(Problem::Failed)
        }
        Err(_) => to_stranger(Problem::Busy),
    }
}

fn health(console: &Console) -> Reply {
    let (status, text) = match console.health() {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "accounts unavailable\n"),
    };
    Reply::of(status, "text/plain; charset=utf-8", text.into())
}

async fn read_form(head: &Parts, body: Incoming) -> Result<Fields, Problem> {
    if head.method != Method::POST {
        return Ok(Fields::default());
    }
    let media_type = text(&head.headers, CONTENT_TYPE.as_str()).split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Problem::FormUnreadable);
    }
    let collected = tokio::time::timeout(BODY_WAIT_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    match collected.map_err(|_| Problem::TooSlow)? {
        Ok(body) => Fields::parse(&body.to_bytes()).ok_or(Problem::FormUnreadable),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::TooLarge),
        Err(_) => Err(Problem::FormUnreadable),
    }
}

/// The page that is asked for, or the one that says why not. Blocks.
fn page(console: &Arc<Console>, address: IpAddr, head: &Parts, form: Fields, now: Timestamp) -> Reply {
    let token = cookie::find(text(&head.headers, COOKIE.as_str()), cookie::SESSION);
    let known = match token {
        Some(token) => console.store().session(&digest_of(token), now),
        None => Ok(None),
    };
    let who = match known {
        Ok(known) => known.map(|(session, operator)| SignedIn { operator, session }),
        Err(error) => {
            let visit = visit(console, address, head, None, now);
            return told(&visit, None, Problem::from(error));
        }
    };
    let mut visit = visit(console, address, head, who.as_ref(), now);
    visit.form = form;
    // Whoever has no cookie gets one, with the key of the forms on this page.
    let fresh = secret_of(head, who.as_ref()).is_none().then(|| hex::encode(console.ids.secret()));
    if let Some(secret) = &fresh {
        visit.form_key = FormKey::of(secret);
    }
    let answered = routed(&mut visit, who.as_ref(), head);
    let reply = answered.unwrap_or_else(|problem| told(&visit, who.as_ref(), problem));
    match fresh {
        Some(secret) => reply.with_cookie(&cookie::keep(cookie::VISIT, &secret, VISIT_AGE, console.cookies)),
        None => reply,
    }
}

fn routed(visit: &mut Visit, who: Option<&SignedIn>, head: &Parts) -> Answered {
    let (route, labels) = routes::find(&head.method, &visit.path)?;
    let span = Span::current();
    span.record("otel.name", display(format_args!("{} {}", head.method, route.path)));
    span.record("http.route", route.path);
    visit.labels = labels;
    if head.method == Method::POST {
        let is_ours = visit.form_key.is(visit.form.one(form_key::FIELD));
        if form_key::is_from_elsewhere(&head.headers) || !is_ours {
            // Whose session is over meets this with the key of the page before.
            return Err(if who.is_none() && matches!(route.answer, Answer::AtLeast(..)) {
                Problem::SignInFirst
            } else {
                Problem::FormNotOurs
            });
        }
    }
    if let Some(who) = who.filter(|_| head.method == Method::POST) {
        let counted = visit.console.attempts.act(&who.operator.name, visit.now);
        counted.map_err(|TooMany { again_at, .. }| Problem::TooFast { again_at })?;
    }
    match (route.answer, who) {
        (Answer::Open(answer), _) => answer(visit),
        (Answer::AtLeast(..), None) => Err(Problem::SignInFirst),
        (Answer::AtLeast(role, _), Some(who)) if !who.may(role) => Err(Problem::NeedsRole(role)),
        (Answer::AtLeast(_, answer), Some(who)) => answer(visit, who),
    }
}

/// The page for a problem, after those were told who should know.
fn told(visit: &Visit, who: Option<&SignedIn>, problem: Problem) -> Reply {
    match &problem {
        Problem::NeedsRole(_) | Problem::FormNotOurs => trespass(visit, who),
        Problem::Unavailable(error) => unavailable(visit.console.as_ref(), error),
        Problem::OutOfOrder(error) => unavailable(visit.console.as_ref(), &**error),
        Problem::NotFound
        | Problem::WrongMethod
        | Problem::SignInFirst
        | Problem::FormUnreadable
        | Problem::TooLarge
        | Problem::TooSlow
        | Problem::TooMany { .. }
        | Problem::TooFast { .. }
        | Problem::LinkGone
        | Problem::NoPasswords
        | Problem::NotVouched(_)
        | Problem::Busy
        | Problem::Failed => {}
    }
    problem.page(visit, who)
}

/// Somebody asked for what they may not. Operators are in the audit trail with it; strangers could fill it.
fn trespass(visit: &Visit, who: Option<&SignedIn>) {
    let Some(suppressed) = visit.console.budgets.trespass.take_now() else { return };
    let operator = who.map(|who| who.operator.name.as_str());
    warn!(event = events::TRESPASS, address = %visit.address, operator, path = %visit.path, suppressed, "refused");
    if let Some(who) = who
        && visit.console.attempts.act(&who.operator.name, visit.now).is_ok()
    {
        let entry = AuditEntry {
            at: visit.now,
            actor: Actor::Operator(who.operator.name.clone()),
            address: Some(visit.address),
            action: AuditAction::Trespass,
            subject: cut(&visit.path, AUDIT_SUBJECT_BYTES_MAX).to_owned(),
            outcome: AuditOutcome::Refused,
        };
        if let Err(error) = visit.console.store().note(&entry) {
            unavailable(&visit.console, &error);
        }
    }
}

/// Says in the log that accounts cannot be read or written.
pub(crate) fn unavailable(console: &Console, error: &dyn Error) {
    let Some(suppressed) = console.budgets.unavailable.take_now() else { return };
    let cause = error.source().map(ToString::to_string);
    error!(event = events::UNAVAILABLE, %error, cause, suppressed, "what pages need is unavailable");
}

/// What pages see of a request, without its form and its labels.
fn visit(console: &Arc<Console>, address: IpAddr, head: &Parts, who: Option<&SignedIn>, now: Timestamp) -> Visit {
    let cookies = text(&head.headers, COOKIE.as_str());
    let chosen = who.and_then(|who| who.operator.language);
    let language = chosen.unwrap_or_else(|| komainu_texts::wished(text(&head.headers, ACCEPT_LANGUAGE.as_str())));
    let place = head.uri.path_and_query().map_or("/", |place| place.as_str());
    Visit {
        console: console.clone(),
        now,
        address,
        agent: cut(text(&head.headers, USER_AGENT.as_str()), AGENT_BYTES_MAX).to_owned(),
        path: head.uri.path().to_owned(),
        place: place.to_owned(),
        labels: Vec::new(),
        query: Fields::parse(head.uri.query().unwrap_or_default().as_bytes()).unwrap_or_default(),
        form: Fields::default(),
        language,
        texts: Texts::of(language),
        theme: cookie::find(cookies, cookie::THEME).map_or(Theme::Auto, Theme::parse),
        form_key: FormKey::of(secret_of(head, who).unwrap_or_default()),
        browser: cookie::find_within(cookies, cookie::BROWSER, browsers::COOKIE_BYTES_MAX)
            .unwrap_or_default()
            .to_owned(),
        flow: cookie::find_within(cookies, cookie::FLOW, provider::FLOW_BYTES_MAX).unwrap_or_default().to_owned(),
    }
}

/// What the forms of this browser are bound to: its session, or its visit while nobody is signed in.
fn secret_of<'a>(head: &'a Parts, who: Option<&SignedIn>) -> Option<&'a str> {
    let cookies = text(&head.headers, COOKIE.as_str());
    let name = if who.is_some() { cookie::SESSION } else { cookie::VISIT };
    cookie::find(cookies, name).filter(|secret| !secret.is_empty())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The beginning of a text, at most so many bytes.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
pub(crate) mod tests {
    use komainu_intel::{IndicatorPolicy, Lesson, indicator_id, learn, revoked};
    use komainu_model::{
        Change, GroupName, Indicator, IndicatorCandidate, IndicatorChange, IndicatorId, OperatorName, ProfileName,
        ReporterName, Role, SampleDigest, Scope, SecurityProfile, Taught, Thing, ThingName, ThingTypeName,
    };
    use komainu_ports::{
        AccountLimits, CapturesLimits, Credential, DiskVitals, Fleet, FleetDevice, FleetError, FleetGroup, GroupList,
        GroupQuery, IdSource, IndicatorSink, IndicatorStore, JudgedBehavior, Kept, KeptWhat, Lake, LinkPurpose,
        Listener, ListenerWish, Looked, ManualClock, MemoryAccessKeys, MemoryAccounts, MemoryArtifacts, MemoryCaptures,
        MemoryLake, MemoryRecords, MemorySamples, MemoryStore, NewSample, NewSession, PasswordHash, Presence,
        RecordedSession, RecordsError, RecordsLimits, SampleIntake, SampleLimits, SampleMention, SamplePriority,
        SampleStore, SampleSubmitted, SamplesError, SeededIds, SensorKey, SensorRollCall, SensorStatus, SessionClue,
        SessionHint, SessionLog, SessionRecord, SessionSummary, Store, StoreCounts, StoreError, ThingList, ThingQuery,
        ThingSummary, VitalSigns, Vitals,
    };
    use parking_lot::Mutex;

    use super::*;
    use crate::test_desks::{TestProfiles, TestTopics};
    use crate::{
        Accounts, By, ConsoleParts, CookieScope, Lakes, PasswordRule, Publications, Published, ShownLake,
        SignInProvider, ThreatParts,
    };

    /// A fleet that was written down before: what a test puts into it.
    #[derive(Default)]
    pub(crate) struct FixedFleet {
        pub(crate) things: Vec<ThingSummary>,
        pub(crate) groups: Vec<FleetGroup>,
        pub(crate) profiles: Mutex<Vec<Arc<SecurityProfile>>>,
        pub(crate) connected: Vec<ReporterName>,
    }

    impl Fleet for FixedFleet {
        fn things(&self, _: &Scope, query: &ThingQuery) -> ThingList {
            let fits = |thing: &&ThingSummary| {
                let name = thing.name.as_str();
                query.name_part.as_ref().is_none_or(|part| name.contains(part.as_str()))
                    && query.group.as_ref().is_none_or(|group| thing.groups.contains(group))
                    && query.type_name.as_ref().is_none_or(|wanted| thing.type_name.as_ref() == Some(wanted))
                    && query.among.as_ref().is_none_or(|among| among.contains(&thing.name))
                    && query.after.as_ref().is_none_or(|after| thing.name > *after)
            };
            let mut found = self.things.iter().filter(fits);
            let things = found.by_ref().take(query.limit).cloned().collect();
            ThingList { things, more: found.next().is_some(), registered: self.things.len() as u64 }
        }

        fn thing_types(&self, _: &Scope, _: usize) -> Vec<ThingTypeName> {
            Vec::new()
        }

        fn device(&self, _: &Scope, reporter: &ReporterName) -> FleetDevice {
            let thing = self.things.iter().find(|thing| thing.name.as_str() == reporter.as_str());
            FleetDevice {
                thing: thing.map(|thing| Thing {
                    name: thing.name.clone(),
                    id: "id".into(),
                    type_name: thing.type_name.clone(),
                    attributes: [("place".to_owned(), "<b>\u{202e}".to_owned())].into(),
                    version: 1,
                    created_at: NOW,
                }),
                groups: thing.map_or(Vec::new(), |thing| thing.groups.clone()),
                certificates: Vec::new(),
                profiles: self.profiles.lock().clone(),
            }
        }

        fn groups(&self, _: &Scope, query: &GroupQuery) -> GroupList {
            let groups = self.groups.iter().map(|group| group.summary.clone()).skip(query.skip).take(query.limit);
            GroupList { groups: groups.collect(), found: self.groups.len() }
        }

        fn group(&self, _: &Scope, name: &GroupName) -> Option<FleetGroup> {
            self.groups.iter().find(|group| group.group.name == *name).cloned()
        }

        fn security_profile(&self, _: &Scope, name: &ProfileName) -> Option<Arc<SecurityProfile>> {
            self.profiles.lock().iter().find(|profile| profile.name == *name).cloned()
        }

        fn suppress_alerts(&self, _: &Scope, behavior: &JudgedBehavior, version: u64) -> Result<(), FleetError> {
            self.set_alerts(behavior, version, true)
        }

        fn resume_alerts(&self, _: &Scope, behavior: &JudgedBehavior, version: u64) -> Result<(), FleetError> {
            self.set_alerts(behavior, version, false)
        }
    }

    impl FixedFleet {
        fn set_alerts(&self, behavior: &JudgedBehavior, version: u64, suppressed: bool) -> Result<(), FleetError> {
            let mut profiles = self.profiles.lock();
            let profile = profiles.iter_mut().find(|profile| profile.name == behavior.profile);
            let profile = profile.ok_or_else(|| FleetError::Missing(behavior.clone()))?;
            if profile.version != version {
                return Err(FleetError::Changed { profile: behavior.profile.clone() });
            }
            let profile = Arc::make_mut(profile);
            profile.version += 1;
            profile.behaviors.iter_mut().for_each(|behavior| behavior.suppress_alerts = suppressed);
            Ok(())
        }
    }

    impl Presence for FixedFleet {
        fn is_connected(&self, _: &Scope, reporter: &ReporterName) -> bool {
            self.connected.contains(reporter)
        }
    }

    /// This lake and no other.
    struct OneLake(Arc<dyn Lake>);

    impl Lakes for OneLake {
        fn shown(&self) -> ShownLake {
            ShownLake::Real(self.0.clone())
        }
    }

    /// Takes samples in, and tells nobody.
    struct Door(Arc<MemorySamples>);

    impl SampleIntake for Door {
        fn submit(&self, sample: &NewSample) -> Result<SampleSubmitted, SamplesError> {
            self.0.submit(sample, NOW)
        }

        fn mention(&self, mentions: &[SampleMention]) -> Result<(), SamplesError> {
            self.0.mention(mentions, NOW)
        }

        fn again(&self, sample: &SampleDigest, priority: SamplePriority) -> Result<bool, SamplesError> {
            self.0.again(sample, priority, NOW)
        }
    }

    /// Decides as the owner of the indicators does, and writes it down.
    struct Shelf(Arc<MemoryStore>);

    impl Shelf {
        fn put(&self, indicator: &Indicator) {
            self.0.commit(&[Change::Indicators(IndicatorChange::Put(indicator.clone()))]).unwrap();
        }
    }

    impl IndicatorSink for Shelf {
        fn teach(&self, candidates: &[IndicatorCandidate]) -> Result<Vec<Taught>, StoreError> {
            let policy = IndicatorPolicy::default();
            let taught = candidates.iter().map(|candidate| {
                let known = self.0.indicator(indicator_id(&candidate.value))?;
                Ok(match learn(&policy, &|_| false, known.as_ref(), candidate, NOW) {
                    Ok(Lesson::New(indicator)) => {
                        self.put(&indicator);
                        Taught::New(indicator.id)
                    }
                    Ok(Lesson::Known(indicator)) => {
                        self.put(&indicator);
                        Taught::Known(indicator.id)
                    }
                    Err(reason) => Taught::Refused { reason },
                })
            });
            taught.collect()
        }

        fn revoke(&self, id: IndicatorId, reason: Option<&str>) -> Result<Option<Indicator>, StoreError> {
            let known = self.0.indicator(id)?;
            let revoked = known.map(|known| revoked(&known, reason, NOW));
            revoked.iter().for_each(|indicator| self.put(indicator));
            Ok(revoked)
        }
    }

    /// These publications and no others.
    struct Files(Published);

    impl Publications for Files {
        fn now(&self) -> Arc<Published> {
            Arc::new(self.0.clone())
        }
    }

    /// An installation that is not well.
    struct StillLife;

    impl VitalSigns for StillLife {
        fn vitals(&self) -> Vitals {
            let store = StoreCounts { violations_active: 7, ..StoreCounts::default() };
            let (name, since) = (ThingName::parse("gate-3").unwrap(), Some(NOW.minus(Duration::from_secs(3600))));
            Vitals {
                started_at: Some(NOW.minus(Duration::from_secs(7200))),
                listeners: vec![Listener { name: "listen.tls", address: None, wish: ListenerWish::Open }],
                store: Some(store),
                lake: Some(Vec::new()),
                disk: Some(DiskVitals { free_bytes: 1 << 20, bytes: 10 << 30 }),
                sensors_silent: vec![(name, since)],
                sensors_silent_count: 1,
                ..Vitals::default()
            }
        }

        fn kept(&self) -> Vec<Kept> {
            vec![Kept {
                what: KeptWhat::Records,
                count: Some(12_345),
                bytes: Some(9 << 30),
                count_max: Some(500_000),
                bytes_max: Some(10 << 30),
                days: None,
                oldest: None,
                setting: Some("hub.records_bytes_max"),
                place: "threat/records",
            }]
        }
    }

    pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

    /// What sensors recorded, as a test has it.
    #[derive(Clone, Default)]
    pub(crate) struct Recorded {
        pub(crate) sessions: Vec<SessionRecord>,
        pub(crate) sensors: Vec<SensorStatus>,
    }

    impl SessionLog for Recorded {
        fn find(
            &self,
            _scope: &Scope,
            session: RecordedSession,
            _hint: Option<&SessionHint>,
        ) -> Result<Looked<SessionRecord>, RecordsError> {
            let found = self.sessions.iter().find(|record| record.summary.session == session);
            Ok(found.map_or(Looked::NotKept, |record| Looked::Found(record.clone())))
        }

        fn sessions_at(&self, clue: &SessionClue) -> Result<Looked<Vec<RecordedSession>>, RecordsError> {
            let is_it = |summary: &SessionSummary| {
                summary.sensor == clue.sensor
                    && summary.began_at == clue.at
                    && summary.source == clue.source.to_string()
            };
            let summaries = self.sessions.iter().map(|record| &record.summary);
            let found: Vec<_> = summaries.filter(|summary| is_it(summary)).map(|summary| summary.session).collect();
            Ok(if found.is_empty() { Looked::NotKept } else { Looked::Found(found) })
        }

        fn latest(&self, sensor: &SensorKey, limit: usize) -> Result<Vec<SessionSummary>, RecordsError> {
            let mine = self.sessions.iter().filter(|record| record.summary.sensor == *sensor);
            Ok(mine.map(|record| record.summary.clone()).take(limit).collect())
        }
    }

    impl SensorRollCall for Recorded {
        fn sensors(&self, _scope: &Scope) -> Vec<SensorStatus> {
            self.sensors.clone()
        }
    }

    /// The token of the session of the operator with each role.
    pub(crate) fn token(role: Role) -> String {
        format!("token-of-{role}")
    }

    /// The key that forms of the operator with this role have.
    pub(crate) fn form_key(role: Role) -> String {
        FormKey::of(&token(role)).as_str().to_owned()
    }

    /// The beginning of a form of the operator with this role.
    pub(crate) fn form_of(role: Role) -> String {
        format!("form_key={}", form_key(role))
    }

    /// A console with an operator for each role, signed in. Nobody's password is ever hashed.
    fn console() -> Arc<Console> {
        console_with(Arc::new(MemoryLake::default()))
    }

    /// The same with a lake. It is 2023-11-14T22:13:20Z.
    pub(crate) fn console_with(lake: Arc<dyn Lake>) -> Arc<Console> {
        console_of(lake, Arc::new(FixedFleet::default()), Arc::new(MemoryStore::default()))
    }

    /// The same with what was published.
    pub(crate) fn console_that_published(lake: Arc<dyn Lake>, published: Published) -> Arc<Console> {
        console_that(lake, Arc::new(FixedFleet::default()), Arc::default(), published, Recorded::default())
    }

    /// The same with a fleet and its history.
    pub(crate) fn console_of(lake: Arc<dyn Lake>, fleet: Arc<FixedFleet>, shelf: Arc<MemoryStore>) -> Arc<Console> {
        console_that(lake, fleet, shelf, Published::default(), Recorded::default())
    }

    /// The same with what sensors recorded.
    pub(crate) fn console_that_recorded(lake: Arc<dyn Lake>, recorded: Recorded) -> Arc<Console> {
        console_that(lake, Arc::new(FixedFleet::default()), Arc::default(), Published::default(), recorded)
    }

    /// A console of a provider; its operators have passwords all the same.
    pub(crate) fn console_of_provider(sign_in: SignInProvider, rule: PasswordRule) -> Arc<Console> {
        let lake = Arc::new(MemoryLake::default());
        let (fleet, shelf) = (Arc::new(FixedFleet::default()), Arc::default());
        console_signed_in_by(lake, fleet, shelf, Published::default(), Recorded::default(), Some(sign_in), rule)
    }

    fn console_that(
        lake: Arc<dyn Lake>,
        fleet: Arc<FixedFleet>,
        shelf: Arc<MemoryStore>,
        published: Published,
        recorded: Recorded,
    ) -> Arc<Console> {
        console_signed_in_by(lake, fleet, shelf, published, recorded, None, PasswordRule::Allowed)
    }

    fn console_signed_in_by(
        lake: Arc<dyn Lake>,
        fleet: Arc<FixedFleet>,
        shelf: Arc<MemoryStore>,
        published: Published,
        recorded: Recorded,
        sign_in: Option<SignInProvider>,
        rule: PasswordRule,
    ) -> Arc<Console> {
        let clock: Arc<dyn komainu_ports::Clock> = Arc::new(ManualClock::new(NOW));
        let ids: Arc<dyn IdSource> = Arc::new(SeededIds::new(1));
        let store = Arc::new(MemoryAccounts::new(AccountLimits::default()));
        let url = "http://console.example".to_owned();
        let accounts = Accounts::new(store, clock.clone(), ids.clone(), url, rule);
        let cookies = CookieScope::Any;
        let samples = Arc::new(MemorySamples::new(SampleLimits::default()));
        let console = Console::new(ConsoleParts {
            accounts,
            lakes: Arc::new(OneLake(lake)),
            scope: crate::test_desks::scope(),
            history: shelf.clone(),
            fleet: fleet.clone(),
            presence: fleet,
            profiles: Arc::new(TestProfiles::default()),
            topics: Arc::new(TestTopics::default()),
            threat: ThreatParts {
                records: Arc::new(MemoryRecords::new(RecordsLimits::default())),
                sessions: Arc::new(recorded.clone()),
                roll: Arc::new(recorded),
                captures: Arc::new(MemoryCaptures::new(CapturesLimits::default())),
                artifacts: Arc::new(MemoryArtifacts::default()),
                samples: samples.clone(),
                intake: Arc::new(Door(samples)),
                indicators: shelf.clone(),
                sink: Arc::new(Shelf(shelf)),
            },
            publications: Arc::new(Files(published)),
            keys: Arc::new(MemoryAccessKeys::default()),
            vitals: Arc::new(StillLife),
            sign_in,
            clock,
            ids,
            cookies,
            proxies: Vec::new(),
        });
        let done = By::COMMAND_LINE.did(AuditAction::Welcome, "", NOW);
        for role in Role::ALL {
            let (link, name) = (digest_of("link"), OperatorName::parse(role.as_str()).unwrap());
            let purpose = LinkPurpose::Invitation { name: name.clone(), role };
            let password = PasswordHash::from_phc("none".to_owned());
            console.store().put_link(link, &purpose, &done).unwrap();
            console.store().use_link(&link, &name, &password, &done).unwrap();
            let session = NewSession {
                token: digest_of(&token(role)),
                operator: name,
                credential: Credential::Password(password),
                totp_step: None,
                address: "192.0.2.1".parse().unwrap(),
                agent: String::new(),
            };
            console.store().begin_session(&session, &done).unwrap();
        }
        console
    }

    /// The status and the text of a page that an operator with this role asks for, or a stranger.
    pub(crate) fn ask(
        console: &Arc<Console>,
        role: Option<Role>,
        method: Method,
        path: &str,
        form: &str,
    ) -> (u16, String) {
        let cookies = role.map(|role| format!("{}={}", cookie::SESSION, token(role))).unwrap_or_default();
        let (status, page, _) = ask_with(console, &cookies, "192.0.2.1", method, path, form);
        (status, page)
    }

    /// The same for a browser with these cookies, with those that it is given.
    pub(crate) fn ask_with(
        console: &Arc<Console>,
        cookies: &str,
        address: &str,
        method: Method,
        path: &str,
        form: &str,
    ) -> (u16, String, Vec<String>) {
        let request = Request::builder().header("accept-language", "en").header(COOKIE, cookies);
        answered(console, request.method(method).uri(path), address, form)
    }

    fn answered(
        console: &Arc<Console>,
        request: hyper::http::request::Builder,
        address: &str,
        form: &str,
    ) -> (u16, String, Vec<String>) {
        let head = request.body(()).unwrap().into_parts().0;
        let form = Fields::parse(form.as_bytes()).unwrap();
        let response = page(console, address.parse().unwrap(), &head, form, NOW).into_response(CookieScope::Any);
        let given = response.headers().get_all("set-cookie").iter();
        let given = given.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned()).collect();
        let location = text(response.headers(), "location").to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(response.into_body().collect()).unwrap().to_bytes();
        (head_status(&location, &body), String::from_utf8(body.to_vec()).unwrap() + &location, given)
    }

    /// Asks for a page in Japanese, and gives back what of it is English: each run of two or more words, and each word in small
    /// letters, that is not a name or a term that Japanese writes so; as far as it is not meant to be typed or read by machines.
    pub(crate) fn english_of_japanese(
        console: &Arc<Console>,
        role: Option<Role>,
        method: Method,
        path: &str,
        form: &str,
    ) -> Vec<String> {
        let cookies = role.map(|role| format!("{}={}", cookie::SESSION, token(role))).unwrap_or_default();
        let request = Request::builder().header("accept-language", "ja").header(COOKIE, cookies);
        let (_, page, _) = answered(console, request.method(method).uri(path), "192.0.2.1", form);
        assert!(page.contains("<html lang=\"ja\""), "{path} is not Japanese: {page}");
        english(&page)
    }

    /// Terms that are the same in Japanese, and names that data of tests has.
    const AS_THEY_ARE: [&str; 18] = [
        "JSON Lines",
        "English",
        "root",
        "telnet",
        "shell",
        "hassh",
        "viewer",
        "analyst",
        "admin",
        "operator",
        "tokyo",
        "hall",
        "lamp",
        "status",
        "https",
        "cameras",
        "alarms",
        "site",
    ];

    fn english(page: &str) -> Vec<String> {
        let mut text = String::new();
        let mut rest = page;
        // Elements with names, commands, and what attackers and devices said; only what is between others is prose.
        const NO_PROSE: [&str; 6] = ["<code", "<pre", "<script", "<style", "<textarea", "<option"];
        while let Some(at) = rest.find('<') {
            text.push_str(&rest[..at]);
            text.push('|');
            let element = &rest[at..];
            // What is read aloud, and what stands in empty fields.
            let tag = &element[..element.find('>').unwrap_or(element.len())];
            for start in [" aria-label=\"", " placeholder=\"", " data-label=\""] {
                if let Some((_, value)) = tag.split_once(start) {
                    text.push_str(value.split('"').next().unwrap_or_default());
                    text.push('|');
                }
            }
            let skipped = NO_PROSE.iter().find(|start| element.starts_with(**start));
            let is_mono = tag.contains("mono") || tag.contains("break");
            let name: String = element[1..].chars().take_while(char::is_ascii_alphanumeric).collect();
            let end = match (skipped, is_mono) {
                (None, false) => element.find('>').map(|end| end + 1),
                _ => element.find(&format!("</{name}>")),
            };
            rest = end.map_or("", |end| &element[end..]);
        }
        // What stands in Japanese quotation marks is what others said, or a command.
        let mut said = String::new();
        for (number, part) in text.split('「').enumerate() {
            let behind = part.split_once('」').map_or(part, |(_, behind)| behind);
            said.push_str(if number == 0 { part } else { behind });
            said.push('|');
        }
        let mut found = Vec::new();
        for part in said.split('|') {
            let mut run: Vec<&str> = Vec::new();
            for word in part.split(|c: char| c.is_whitespace()).chain([""]) {
                let is_word = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
                if is_word {
                    run.push(word);
                    continue;
                }
                let alone = run.len() == 1 && run[0].len() > 3 && run[0].bytes().all(|byte| byte.is_ascii_lowercase());
                if (run.len() > 1 || alone) && !AS_THEY_ARE.contains(&&*run.join(" ")) {
                    found.push(run.join(" "));
                }
                run.clear();
            }
        }
        found
    }

    #[test]
    fn english_is_found() {
        let check = |page: &str, expected: &[&str]| assert_eq!(english(page), expected, "{page}");
        check("<p>あ <b>there is</b> no<code>aws iot list</code></p>", &["there is"]);
        check("<td class=\"mono\">a name here</td><p title=\"not this one\">JSON Lines</p>", &[]);
        check("<p>これは the name です</p><a aria-label=\"一つの word\">値</a>", &["the name", "word"]);
    }

    #[test]
    fn pages_in_japanese_have_no_english() {
        let console = console();
        let pages = crate::routes::ROUTES.iter().filter(|route| route.menu.is_some()).map(|route| route.path);
        for path in pages.chain([
            "/profiles/new",
            "/indicators/refused",
            "/account",
            "/account/codes",
            "/search?q=a",
            "/nothing",
        ]) {
            let found = english_of_japanese(&console, Some(Role::Admin), Method::GET, path, "");
            assert!(found.is_empty(), "{path}: {found:?}");
        }
        for path in ["/sign-in", "/welcome?link=a", "/enter?link=a"] {
            let found = english_of_japanese(&console, None, Method::GET, path, "");
            assert!(found.is_empty(), "{path}: {found:?}");
        }
    }

    /// What the stream of an operator with this role says; none when there are too many. Needs a runtime.
    pub(crate) fn stream_of(console: &Arc<Console>, role: Role) -> Option<tokio::sync::mpsc::Receiver<bytes::Bytes>> {
        let request = Request::builder().uri("/live").header(COOKIE, format!("{}={}", cookie::SESSION, token(role)));
        let head = request.body(()).unwrap().into_parts().0;
        let address = "192.0.2.1".parse().unwrap();
        match page(console, address, &head, Fields::default(), NOW).into_response(CookieScope::Any).into_body() {
            ReplyBody::Stream(messages) => Some(messages),
            ReplyBody::Whole(_) => None,
        }
    }

    /// The status as the page itself says it, 200 for others, 303 for what leads on.
    fn head_status(location: &str, body: &[u8]) -> u16 {
        let text = std::str::from_utf8(body).unwrap();
        match text.split_once("class=\"status-code\">") {
            Some((_, rest)) => rest[..3].parse().unwrap(),
            None if location.is_empty() => 200,
            None => 303,
        }
    }

    #[test]
    fn the_table_decides_who_sees_what() {
        let console = console();
        let check = |role: Option<Role>, path: &str, status: u16, has: &str| {
            let (found, text) = ask(&console, role, Method::GET, path, "");
            assert_eq!(found, status, "{role:?} {path}: {text}");
            assert!(text.contains(has), "{role:?} {path} has no {has:?}: {text}");
        };
        check(None, "/", 303, "/sign-in");
        check(None, "/admin/audit?before=5", 303, "/sign-in?then=%2Fadmin%2Faudit%3Fbefore%3D5");
        check(None, "/sign-out", 405, "");
        check(None, "/nowhere", 404, "");
        check(None, "/sign-in", 200, "name=\"password\"");
        check(None, "/welcome?token=wrong", 410, "");
        check(Some(Role::Viewer), "/", 200, "/account");
        check(Some(Role::Viewer), "/admin/audit", 403, "admin");
        check(Some(Role::Analyst), "/admin/operators", 403, "admin");
        check(Some(Role::Admin), "/admin/operators", 200, "analyst");
        check(Some(Role::Admin), "/admin/audit", 200, "asked for what is not allowed");
        check(Some(Role::Admin), "/search?q=%3Cb%3E%E2%80%AE", 200, "&lt;b&gt;\\u{202e}");
        check(Some(Role::Admin), "/search?q=anal", 200, "/admin/operators");
    }

    #[test]
    fn forms_need_the_key_of_their_session() {
        let console = console();
        let check = |role: Option<Role>, key: &str, status: u16| {
            let form = format!("form_key={key}&language=ja");
            let (found, text) = ask(&console, role, Method::POST, "/account/language", &form);
            assert_eq!(found, status, "{role:?} {key}: {text}");
        };
        check(Some(Role::Viewer), "", 403);
        check(Some(Role::Viewer), &form_key(Role::Admin), 403);
        check(Some(Role::Viewer), FormKey::of("").as_str(), 403);
        check(None, FormKey::of("").as_str(), 303);
        check(Some(Role::Viewer), &form_key(Role::Viewer), 303);
        let (_, text) = ask(&console, Some(Role::Viewer), Method::GET, "/", "");
        assert!(text.contains("<html lang=\"ja\""), "{text}");
    }

    #[test]
    fn a_link_for_signing_in_counts_once() {
        let console = console();
        let name = OperatorName::parse("viewer").unwrap();
        let link = console.accounts.sign_in_link(&name, &By::COMMAND_LINE).unwrap();
        let path = link.url.strip_prefix("http://console.example").unwrap();
        let key = FormKey::of(&token(Role::Viewer));
        let form = format!("form_key={}&{}", key.as_str(), path.strip_prefix("/enter?").unwrap());
        let check = |method: Method, form: &str, status: u16| {
            assert_eq!(ask(&console, Some(Role::Viewer), method.clone(), path, form).0, status, "{method} {form}");
        };
        // Looking at it uses nothing up.
        check(Method::GET, "", 200);
        check(Method::GET, "", 200);
        check(Method::POST, "token=x", 403);
        check(Method::POST, &form, 303);
        check(Method::POST, &form, 410);
        check(Method::GET, "", 410);
        assert!(console.accounts.sign_in_link(&OperatorName::parse("nobody").unwrap(), &By::COMMAND_LINE).is_err());
    }

    #[test]
    fn a_proxy_says_from_where() {
        let check = |peer: &str, lines: &[&str], expected: &str| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let proxies = ["127.0.0.1".parse().unwrap()];
            let client = client_of(peer.parse().unwrap(), &headers, &proxies);
            assert_eq!(client.to_string(), expected, "{peer} {lines:?}");
        };
        check("192.0.2.1", &["192.0.2.9"], "192.0.2.1");
        check("127.0.0.1", &[], "127.0.0.1");
        check("127.0.0.1", &["192.0.2.9"], "192.0.2.9");
        check("127.0.0.1", &["spoofed, 192.0.2.9"], "192.0.2.9");
        check("127.0.0.1", &["192.0.2.8", "192.0.2.9"], "192.0.2.9");
        check("127.0.0.1", &["192.0.2.9, unknown"], "127.0.0.1");
        check("127.0.0.1", &["::ffff:192.0.2.9"], "192.0.2.9");
    }
}
