//! What every engine that keeps accounts must do.

#![expect(clippy::unwrap_used, reason = "these functions are the bodies of tests")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use komainu_model::{Language, OperatorName, Role, Timestamp};

use crate::accounts::{
    AccountLimits, AccountStore, AccountsError, Actor, AuditAction, AuditEntry, AuditOutcome, Credential, LinkPurpose,
    NewSession, Newcomer, Operator, OperatorChange, OperatorState, PasswordHash, ProviderIdentity, TokenDigest,
    TotpSecret, TotpStep,
};

/// Checks everything that does not need a medium; `new` makes an empty store.
pub fn check_account_store(new: &dyn Fn(AccountLimits) -> Box<dyn AccountStore>) {
    let with_defaults = || new(AccountLimits::default());
    the_first_operator_is_an_admin(&*with_defaults());
    a_link_counts_once_and_for_a_day(&*with_defaults());
    a_link_counts_once_even_if_two_come_at_once(&*with_defaults());
    an_invitation_is_for_one_name(&*with_defaults());
    a_reset_ends_codes_and_sessions(&*with_defaults());
    the_last_admin_stays(&*with_defaults());
    the_last_admin_stays_even_if_two_go_at_once(&*with_defaults());
    sessions_end_by_time(&*with_defaults());
    a_disabled_operator_is_out(&*with_defaults());
    what_was_verified_must_still_hold(&*with_defaults());
    a_code_counts_once(&*with_defaults());
    another_password_ends_other_sessions(&*with_defaults());
    sessions_are_ended_by_their_owner(&*with_defaults());
    a_language_is_kept(&*with_defaults());
    a_provider_brings_somebody_new(&*with_defaults());
    a_provider_links_nobody(&*with_defaults());
    a_provider_says_the_role(&*with_defaults());
    who_comes_through_a_provider_has_no_password(&*with_defaults());
    somebody_new_comes_once_even_if_two_come_at_once(&*with_defaults());
    browsers_are_known_by_one_secret(&*with_defaults());
    the_audit_trail_is_read_backwards(&*with_defaults());
    holds_its_bounds(&*new(AccountLimits {
        operators_max: 2,
        sessions_per_operator_max: 2,
        audit_entries_max: 6,
        audit_strangers_max: 3,
        ..AccountLimits::default()
    }));
    the_audit_trail_is_kept_for_its_time(&*new(AccountLimits {
        audit_kept: Duration::from_secs(10),
        ..AccountLimits::default()
    }));
}

/// Checks that what was said is there after closing and opening; `open` opens the same place again each time.
pub fn check_durable_account_store(open: &dyn Fn(AccountLimits) -> Box<dyn AccountStore>) {
    let store = open(AccountLimits::default());
    first(&*store);
    store.put_link(token(50), &invitation("ken", Role::Viewer), &entry(5, AuditAction::Invite, "ken")).unwrap();
    let totp = OperatorChange::Totp(secret(), TotpStep(100));
    store.change_operator(&name("aiko"), &totp, &entry(6, AuditAction::AddTotp, "aiko")).unwrap();
    begin(&*store, 1, 7, Some(101)).unwrap();
    store.admit(&newcomer("mei", "1"), &entry(7, AuditAction::Welcome, "mei")).unwrap();
    let secret = store.browser_secret([1; 32]).unwrap();
    let seen = |store: &dyn AccountStore| {
        let (operators, links) = (store.operators().unwrap(), store.links(at(8)).unwrap());
        let (session, trail) = (store.session(&token(1), at(8)).unwrap(), store.audit(None, 100).unwrap());
        (operators, links, session, trail)
    };
    let before = seen(&*store);
    drop(store);
    let store = open(AccountLimits::default());
    assert_eq!(seen(&*store), before, "reopening changed what is kept");
    assert_eq!(store.browser_secret([2; 32]).unwrap(), secret);
    assert_eq!(store.operator_of(&identity("1")).unwrap().unwrap().name, name("mei"));
    begin(&*store, 2, 9, Some(101)).unwrap_err();
    begin(&*store, 2, 9, Some(102)).unwrap();
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000 + seconds)
}

fn name(text: &str) -> OperatorName {
    OperatorName::parse(text).unwrap()
}

fn token(number: u8) -> TokenDigest {
    TokenDigest::from_sha256([number; 32])
}

fn hash(text: &str) -> PasswordHash {
    PasswordHash::from_phc(text.to_owned())
}

fn secret() -> TotpSecret {
    TotpSecret::from_bytes([7; 20])
}

fn address() -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))
}

fn invitation(who: &str, role: Role) -> LinkPurpose {
    LinkPurpose::Invitation { name: name(who), role }
}

fn entry(seconds: i64, action: AuditAction, subject: &str) -> AuditEntry {
    AuditEntry {
        at: at(seconds),
        actor: Actor::CommandLine,
        address: Some(address()),
        action,
        subject: subject.to_owned(),
        outcome: AuditOutcome::Done,
    }
}

/// Makes the first operator, `aiko`, at second 1.
fn first(store: &dyn AccountStore) -> Operator {
    store.put_link(token(40), &LinkPurpose::First, &entry(0, AuditAction::FirstLink, "")).unwrap();
    store.use_link(&token(40), &name("aiko"), &hash("first"), &entry(1, AuditAction::Welcome, "aiko")).unwrap()
}

/// Makes another operator at second 2.
fn another(store: &dyn AccountStore, who: &str, role: Role) {
    store.put_link(token(41), &invitation(who, role), &entry(2, AuditAction::Invite, who)).unwrap();
    store.use_link(&token(41), &name(who), &hash("first"), &entry(2, AuditAction::Welcome, who)).unwrap();
}

fn identity(subject: &str) -> ProviderIdentity {
    ProviderIdentity { issuer: "https://id.example".to_owned(), subject: subject.to_owned() }
}

fn newcomer(who: &str, subject: &str) -> Newcomer {
    Newcomer { identity: identity(subject), name: name(who), role: Role::Analyst }
}

fn begin(store: &dyn AccountStore, number: u8, seconds: i64, step: Option<u64>) -> Result<(), AccountsError> {
    begin_with(store, number, seconds, "first", step)
}

fn begin_with(
    store: &dyn AccountStore,
    number: u8,
    seconds: i64,
    password: &str,
    step: Option<u64>,
) -> Result<(), AccountsError> {
    let new = NewSession {
        token: token(number),
        operator: name("aiko"),
        credential: Credential::Password(hash(password)),
        totp_step: step.map(TotpStep),
        address: address(),
        agent: "a browser".to_owned(),
    };
    store.begin_session(&new, &entry(seconds, AuditAction::SignIn, "aiko"))
}

fn change(store: &dyn AccountStore, who: &str, change: &OperatorChange) -> Result<(), AccountsError> {
    store.change_operator(&name(who), change, &entry(3, AuditAction::ChangeRole, who))
}

fn the_first_operator_is_an_admin(store: &dyn AccountStore) {
    assert_eq!(store.operators().unwrap(), []);
    let link = store.put_link(token(1), &LinkPurpose::First, &entry(0, AuditAction::FirstLink, "")).unwrap();
    assert_eq!((&link.purpose, link.expires_at), (&LinkPurpose::First, at(24 * 3600)));
    // The next start prints another one, and the earlier one does not count any more.
    store.put_link(token(2), &LinkPurpose::First, &entry(1, AuditAction::FirstLink, "")).unwrap();
    assert!(matches!(store.link(&token(1), at(2)), Err(AccountsError::LinkGone)));
    assert_eq!(store.link(&token(2), at(2)).unwrap().purpose, LinkPurpose::First);
    let done = entry(3, AuditAction::Welcome, "aiko");
    let operator = store.use_link(&token(2), &name("aiko"), &hash("first"), &done).unwrap();
    let expected = Operator {
        name: name("aiko"),
        role: Role::Admin,
        state: OperatorState::Enabled,
        credential: Credential::Password(hash("first")),
        totp: None,
        language: None,
        created_at: at(3),
        signed_in_at: None,
    };
    assert_eq!(operator, expected);
    assert_eq!(store.operator(&name("aiko")).unwrap(), Some(expected));
    let again = store.put_link(token(3), &LinkPurpose::First, &entry(4, AuditAction::FirstLink, ""));
    assert!(matches!(again, Err(AccountsError::NotFirst)));
}

fn a_link_counts_once_and_for_a_day(store: &dyn AccountStore) {
    first(store);
    let use_it = |seconds| {
        let done = entry(seconds, AuditAction::Welcome, "ken");
        store.use_link(&token(1), &name("ken"), &hash("p"), &done)
    };
    let invite = || store.put_link(token(1), &invitation("ken", Role::Viewer), &entry(2, AuditAction::Invite, "ken"));
    invite().unwrap();
    let day = 24 * 3600;
    assert!(matches!(use_it(2 + day), Err(AccountsError::LinkGone)));
    assert_eq!(store.links(at(2 + day)).unwrap(), []);
    assert_eq!(use_it(1 + day).unwrap().role, Role::Viewer);
    assert!(matches!(use_it(1 + day), Err(AccountsError::LinkGone)));
    assert!(matches!(invite(), Err(AccountsError::Exists(_))));
}

fn a_link_counts_once_even_if_two_come_at_once(store: &dyn AccountStore) {
    store.put_link(token(1), &LinkPurpose::First, &entry(0, AuditAction::FirstLink, "")).unwrap();
    let use_it = |who: &str| {
        let done = entry(1, AuditAction::Welcome, who);
        store.use_link(&token(1), &name(who), &hash("p"), &done).is_ok()
    };
    let used = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || use_it(&format!("operator-{number}")))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|used| *used).count()
    });
    assert_eq!(used, 1);
    assert_eq!(store.operators().unwrap().len(), 1);
}

fn an_invitation_is_for_one_name(store: &dyn AccountStore) {
    first(store);
    store.put_link(token(1), &invitation("ken", Role::Viewer), &entry(2, AuditAction::Invite, "ken")).unwrap();
    let wrong = store.use_link(&token(1), &name("eve"), &hash("p"), &entry(3, AuditAction::Welcome, "eve"));
    assert!(matches!(wrong, Err(AccountsError::LinkGone)));
    // Invited again with another role, the earlier link does not count any more.
    store.put_link(token(2), &invitation("ken", Role::Analyst), &entry(3, AuditAction::Invite, "ken")).unwrap();
    let links: Vec<_> = store.links(at(4)).unwrap().into_iter().map(|link| link.purpose).collect();
    assert_eq!(links, [invitation("ken", Role::Analyst)]);
    let early = store.use_link(&token(1), &name("ken"), &hash("p"), &entry(4, AuditAction::Welcome, "ken"));
    assert!(matches!(early, Err(AccountsError::LinkGone)));
    // It waits still.
    assert_eq!(store.link(&token(2), at(4)).unwrap().purpose, invitation("ken", Role::Analyst));
    let unknown = LinkPurpose::Reset { name: name("eve") };
    let reset = store.put_link(token(3), &unknown, &entry(4, AuditAction::Reset, "eve"));
    assert!(matches!(reset, Err(AccountsError::Missing(_))));
}

fn a_reset_ends_codes_and_sessions(store: &dyn AccountStore) {
    first(store);
    change(store, "aiko", &OperatorChange::Totp(secret(), TotpStep(5))).unwrap();
    begin(store, 1, 3, Some(6)).unwrap();
    let purpose = LinkPurpose::Reset { name: name("aiko") };
    store.put_link(token(2), &purpose, &entry(4, AuditAction::Reset, "aiko")).unwrap();
    assert!(store.session(&token(1), at(4)).unwrap().is_some(), "nothing ends before the link is used");
    let done = entry(5, AuditAction::Welcome, "aiko");
    let operator = store.use_link(&token(2), &name("aiko"), &hash("second"), &done).unwrap();
    let second = Credential::Password(hash("second"));
    assert_eq!((operator.role, operator.credential, operator.totp), (Role::Admin, second, None));
    assert_eq!(operator.created_at, at(1));
    assert_eq!(store.session(&token(1), at(5)).unwrap(), None);
    begin_with(store, 3, 6, "second", None).unwrap();
}

fn the_last_admin_stays(store: &dyn AccountStore) {
    first(store);
    another(store, "ken", Role::Analyst);
    let disabled = OperatorChange::State(OperatorState::Disabled);
    let to_viewer = OperatorChange::Role(Role::Viewer);
    for refused in [&disabled, &to_viewer] {
        assert!(matches!(change(store, "aiko", refused), Err(AccountsError::LastAdmin(_))));
    }
    change(store, "aiko", &OperatorChange::Role(Role::Admin)).unwrap();
    change(store, "ken", &OperatorChange::Role(Role::Admin)).unwrap();
    change(store, "ken", &disabled).unwrap();
    assert!(matches!(change(store, "aiko", &to_viewer), Err(AccountsError::LastAdmin(_))), "ken cannot sign in");
    change(store, "ken", &OperatorChange::State(OperatorState::Enabled)).unwrap();
    change(store, "aiko", &to_viewer).unwrap();
    assert_eq!(store.operator(&name("aiko")).unwrap().unwrap().role, Role::Viewer);
    assert!(matches!(change(store, "eve", &to_viewer), Err(AccountsError::Missing(_))));
}

fn the_last_admin_stays_even_if_two_go_at_once(store: &dyn AccountStore) {
    first(store);
    another(store, "ken", Role::Admin);
    let go = |who: &'static str| change(store, who, &OperatorChange::Role(Role::Viewer)).is_ok();
    let went = std::thread::scope(|scope| {
        let threads = ["aiko", "ken"].map(|who| scope.spawn(move || go(who)));
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|went| *went).count()
    });
    assert_eq!(went, 1);
}

fn sessions_end_by_time(store: &dyn AccountStore) {
    first(store);
    begin(store, 1, 10, None).unwrap();
    assert_eq!(store.operator(&name("aiko")).unwrap().unwrap().signed_in_at, Some(at(10)));
    let (session, operator) = store.session(&token(1), at(20)).unwrap().unwrap();
    assert_eq!((session.created_at, session.seen_at, operator.name), (at(10), at(10), name("aiko")));
    assert_eq!((session.address, session.agent.as_str()), (address(), "a browser"));
    let (session, _) = store.session(&token(1), at(70)).unwrap().unwrap();
    assert_eq!(session.seen_at, at(70));
    let half_day = 12 * 3600;
    assert!(store.session(&token(1), at(70 + half_day)).unwrap().is_none(), "not used for half a day");
    let mut now = 70;
    while now < 10 + 7 * 24 * 3600 {
        assert!(store.session(&token(1), at(now)).unwrap().is_some(), "used each hour, at {now}");
        now += 3600;
    }
    assert_eq!(store.session(&token(1), at(10 + 7 * 24 * 3600)).unwrap(), None, "a week old");
    assert_eq!(store.sessions(&name("aiko"), at(10 + 7 * 24 * 3600)).unwrap(), []);
    assert_eq!(store.session(&token(9), at(20)).unwrap(), None);
}

fn a_disabled_operator_is_out(store: &dyn AccountStore) {
    first(store);
    another(store, "ken", Role::Admin);
    begin(store, 1, 10, None).unwrap();
    change(store, "aiko", &OperatorChange::State(OperatorState::Disabled)).unwrap();
    assert_eq!(store.session(&token(1), at(11)).unwrap(), None);
    assert!(matches!(begin(store, 2, 12, None), Err(AccountsError::NotLetIn(_))));
    // Whoever resets a disabled operator does not enable them.
    let purpose = LinkPurpose::Reset { name: name("aiko") };
    store.put_link(token(3), &purpose, &entry(13, AuditAction::Reset, "aiko")).unwrap();
    store.use_link(&token(3), &name("aiko"), &hash("second"), &entry(14, AuditAction::Welcome, "aiko")).unwrap();
    assert!(matches!(begin_with(store, 2, 15, "second", None), Err(AccountsError::NotLetIn(_))));
    change(store, "aiko", &OperatorChange::State(OperatorState::Enabled)).unwrap();
    begin_with(store, 2, 16, "second", None).unwrap();
}

fn what_was_verified_must_still_hold(store: &dyn AccountStore) {
    first(store);
    assert!(matches!(begin_with(store, 1, 2, "another", None), Err(AccountsError::NotLetIn(_))));
    assert!(
        matches!(begin(store, 1, 2, Some(5)), Err(AccountsError::NotLetIn(_))),
        "a code of codes that are not used"
    );
    change(store, "aiko", &OperatorChange::Totp(secret(), TotpStep(5))).unwrap();
    assert!(matches!(begin(store, 1, 2, None), Err(AccountsError::NotLetIn(_))), "without a code");
    let nobody = NewSession {
        token: token(1),
        operator: name("eve"),
        credential: Credential::Password(hash("first")),
        totp_step: None,
        address: address(),
        agent: String::new(),
    };
    let begun = store.begin_session(&nobody, &entry(3, AuditAction::SignIn, "eve"));
    assert!(matches!(begun, Err(AccountsError::NotLetIn(_))));
    assert_eq!(store.session(&token(1), at(3)).unwrap(), None);
}

fn a_code_counts_once(store: &dyn AccountStore) {
    first(store);
    change(store, "aiko", &OperatorChange::Totp(secret(), TotpStep(5))).unwrap();
    assert_eq!(store.operator(&name("aiko")).unwrap().unwrap().totp, Some(secret()));
    assert!(begin(store, 1, 10, Some(5)).is_err(), "the code that showed the enrolment");
    begin(store, 1, 10, Some(6)).unwrap();
    assert!(begin(store, 2, 10, Some(6)).is_err());
    assert!(begin(store, 2, 10, Some(4)).is_err());
    begin(store, 2, 10, Some(7)).unwrap();
    change(store, "aiko", &OperatorChange::NoTotp).unwrap();
    begin(store, 3, 10, None).unwrap();
}

fn another_password_ends_other_sessions(store: &dyn AccountStore) {
    first(store);
    for number in 1..=3 {
        begin(store, number, 10, None).unwrap();
    }
    change(store, "aiko", &OperatorChange::Password(hash("second"), token(2))).unwrap();
    let left: Vec<_> = store.sessions(&name("aiko"), at(11)).unwrap().into_iter().map(|one| one.token).collect();
    assert_eq!(left, [token(2)]);
    assert!(begin(store, 4, 12, None).is_err());
    begin_with(store, 4, 12, "second", None).unwrap();
}

fn sessions_are_ended_by_their_owner(store: &dyn AccountStore) {
    first(store);
    another(store, "ken", Role::Viewer);
    for number in 1..=3 {
        begin(store, number, 10 + i64::from(number), None).unwrap();
    }
    let order: Vec<_> = store.sessions(&name("aiko"), at(20)).unwrap().into_iter().map(|one| one.token).collect();
    assert_eq!(order, [token(3), token(2), token(1)]);
    let sign_out = entry(20, AuditAction::SignOut, "");
    assert!(!store.end_session(&name("ken"), &token(1), &sign_out).unwrap(), "it is not theirs");
    assert!(store.end_session(&name("aiko"), &token(1), &sign_out).unwrap());
    assert!(!store.end_session(&name("aiko"), &token(1), &sign_out).unwrap());
    assert_eq!(store.session(&token(1), at(20)).unwrap(), None);
    store.end_sessions(&name("aiko"), &entry(21, AuditAction::EndSessions, "")).unwrap();
    assert_eq!(store.sessions(&name("aiko"), at(21)).unwrap(), []);
}

fn a_language_is_kept(store: &dyn AccountStore) {
    first(store);
    for language in [Some(Language::Japanese), Some(Language::English), None] {
        change(store, "aiko", &OperatorChange::Language(language)).unwrap();
        assert_eq!(store.operator(&name("aiko")).unwrap().unwrap().language, language);
    }
}

fn a_provider_brings_somebody_new(store: &dyn AccountStore) {
    first(store);
    assert_eq!(store.operator_of(&identity("1")).unwrap(), None);
    let operator = store.admit(&newcomer("mei", "1"), &entry(5, AuditAction::Welcome, "mei analyst")).unwrap();
    let expected = Operator {
        name: name("mei"),
        role: Role::Analyst,
        state: OperatorState::Enabled,
        credential: Credential::Provider(identity("1")),
        totp: None,
        language: None,
        created_at: at(5),
        signed_in_at: None,
    };
    assert_eq!(operator, expected);
    assert_eq!(store.operator_of(&identity("1")).unwrap(), Some(expected.clone()));
    assert_eq!(store.operator(&name("mei")).unwrap(), Some(expected));
    assert_eq!(store.operator_of(&identity("2")).unwrap(), None);
    let elsewhere = ProviderIdentity { issuer: "https://other.example".to_owned(), ..identity("1") };
    assert_eq!(store.operator_of(&elsewhere).unwrap(), None, "the same word of another provider is somebody else");
    assert_eq!(store.audit(None, 1).unwrap()[0].1, entry(5, AuditAction::Welcome, "mei analyst"));
    begin_as(store, 1, 6, "mei", identity("1")).unwrap();
    assert!(matches!(begin_as(store, 2, 6, "mei", identity("2")), Err(AccountsError::NotLetIn(_))));
    assert!(matches!(begin_as(store, 2, 6, "aiko", identity("1")), Err(AccountsError::NotLetIn(_))));
    assert_eq!(store.session(&token(1), at(6)).unwrap().unwrap().1.name, name("mei"));
    change(store, "mei", &OperatorChange::State(OperatorState::Disabled)).unwrap();
    assert_eq!(store.session(&token(1), at(7)).unwrap(), None);
    assert!(matches!(begin_as(store, 2, 7, "mei", identity("1")), Err(AccountsError::NotLetIn(_))));
}

fn a_provider_links_nobody(store: &dyn AccountStore) {
    first(store);
    let admit =
        |who: &str, subject: &str| store.admit(&newcomer(who, subject), &entry(5, AuditAction::Welcome, who)).map(drop);
    assert!(matches!(admit("aiko", "1"), Err(AccountsError::Exists(_))));
    admit("mei", "1").unwrap();
    assert!(matches!(admit("mei", "2"), Err(AccountsError::Exists(_))), "a name stays that of one person");
    assert!(matches!(admit("other", "1"), Err(AccountsError::Exists(_))), "one person has one name");
    assert_eq!(store.operators().unwrap().len(), 2);
}

fn a_provider_says_the_role(store: &dyn AccountStore) {
    first(store);
    store.admit(&newcomer("mei", "1"), &entry(5, AuditAction::Welcome, "mei")).unwrap();
    let of_provider = |role| OperatorChange::ProvidedRole(role);
    assert!(matches!(change(store, "mei", &OperatorChange::Role(Role::Viewer)), Err(AccountsError::OfProvider(_))));
    change(store, "mei", &of_provider(Role::Admin)).unwrap();
    assert_eq!(store.operator(&name("mei")).unwrap().unwrap().role, Role::Admin);
    change(store, "aiko", &OperatorChange::Role(Role::Viewer)).unwrap();
    // The last admin may do less when their provider says so.
    change(store, "mei", &of_provider(Role::Viewer)).unwrap();
    assert_eq!(store.operator(&name("mei")).unwrap().unwrap().role, Role::Viewer);
    assert!(change(store, "aiko", &of_provider(Role::Admin)).is_err(), "no provider speaks for aiko");
}

fn who_comes_through_a_provider_has_no_password(store: &dyn AccountStore) {
    first(store);
    store.admit(&newcomer("mei", "1"), &entry(5, AuditAction::Welcome, "mei")).unwrap();
    let reset = LinkPurpose::Reset { name: name("mei") };
    let link = store.put_link(token(3), &reset, &entry(6, AuditAction::Reset, "mei"));
    assert!(matches!(link, Err(AccountsError::OfProvider(_))));
    let refused = [OperatorChange::Password(hash("p"), token(9)), OperatorChange::Totp(secret(), TotpStep(1))];
    for refused in refused {
        assert!(matches!(change(store, "mei", &refused), Err(AccountsError::OfProvider(_))), "{refused:?}");
    }
    change(store, "mei", &OperatorChange::Language(Some(Language::Japanese))).unwrap();
}

fn somebody_new_comes_once_even_if_two_come_at_once(store: &dyn AccountStore) {
    first(store);
    let admit = |number: usize| {
        let newcomer = newcomer(&format!("mei-{number}"), "1");
        store.admit(&newcomer, &entry(5, AuditAction::Welcome, "")).is_ok()
    };
    let came = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|number| scope.spawn(move || admit(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|came| *came).count()
    });
    assert_eq!(came, 1);
}

fn browsers_are_known_by_one_secret(store: &dyn AccountStore) {
    assert_eq!(store.browser_secret([1; 32]).unwrap(), [1; 32]);
    assert_eq!(store.browser_secret([2; 32]).unwrap(), [1; 32]);
}

/// Begins a session of somebody for whom a provider vouches.
fn begin_as(
    store: &dyn AccountStore,
    number: u8,
    seconds: i64,
    who: &str,
    identity: ProviderIdentity,
) -> Result<(), AccountsError> {
    let new = NewSession {
        token: token(number),
        operator: name(who),
        credential: Credential::Provider(identity),
        totp_step: None,
        address: address(),
        agent: "a browser".to_owned(),
    };
    store.begin_session(&new, &entry(seconds, AuditAction::SignInProvider, who))
}

fn the_audit_trail_is_read_backwards(store: &dyn AccountStore) {
    let lines = AuditAction::ALL.into_iter().enumerate().map(|(number, action)| AuditEntry {
        actor: match number % 4 {
            0 => Actor::Operator(name("aiko")),
            1 => Actor::CommandLine,
            2 => Actor::Provider,
            _ => Actor::Stranger,
        },
        address: (number % 2 == 0).then(address),
        outcome: if number % 2 == 0 { AuditOutcome::Done } else { AuditOutcome::Refused },
        ..entry(number as i64, action, "\u{202e}<b>")
    });
    let mut lines = lines.collect::<Vec<_>>();
    for line in &lines {
        store.note(line).unwrap();
    }
    lines.reverse();
    let mut read = Vec::new();
    let mut before = None;
    loop {
        let page = store.audit(before, 4).unwrap();
        assert!(page.len() <= 4);
        let Some((number, _)) = page.last() else { break };
        before = Some(*number);
        read.extend(page.into_iter().map(|(_, line)| line));
    }
    assert_eq!(read, lines);
    // A change that was not made leaves no line of one that was.
    assert!(change(store, "aiko", &OperatorChange::NoTotp).is_err());
    assert_eq!(store.audit(None, 100).unwrap().len(), lines.len());
    let size = store.audit_size().unwrap();
    assert_eq!(size.entries + size.strangers, lines.len() as u64);
    assert!(size.strangers > 0, "{size:?}");
    first(store);
    let actions: Vec<_> = store.audit(None, 2).unwrap().into_iter().map(|(_, line)| line.action).collect();
    assert_eq!(actions, [AuditAction::Welcome, AuditAction::FirstLink]);
}

fn holds_its_bounds(store: &dyn AccountStore) {
    first(store);
    store.put_link(token(1), &invitation("ken", Role::Viewer), &entry(2, AuditAction::Invite, "ken")).unwrap();
    let full = store.put_link(token(2), &invitation("eve", Role::Viewer), &entry(2, AuditAction::Invite, "eve"));
    assert!(matches!(full, Err(AccountsError::Full(2))));
    let full = store.admit(&newcomer("mei", "1"), &entry(2, AuditAction::Welcome, "mei"));
    assert!(matches!(full, Err(AccountsError::Full(2))));
    // Another link for the same name takes no further place.
    store.put_link(token(2), &invitation("ken", Role::Viewer), &entry(3, AuditAction::Invite, "ken")).unwrap();
    for number in 1..=3 {
        begin(store, number, 10 + i64::from(number), None).unwrap();
    }
    let left: Vec<_> = store.sessions(&name("aiko"), at(20)).unwrap().into_iter().map(|one| one.token).collect();
    assert_eq!(left, [token(3), token(2)]);
    for number in 0..10 {
        store.note(&entry(30 + number, AuditAction::SignIn, "")).unwrap();
    }
    let trail = || store.audit(None, 100).unwrap();
    assert_eq!(trail().len(), 6);
    assert_eq!(trail()[0].1.at, at(39));
    // Strangers push out strangers, and nobody else.
    for number in 0..20 {
        let entry = entry(50 + number, AuditAction::SignIn, "");
        store.note(&AuditEntry { actor: Actor::Stranger, ..entry }).unwrap();
    }
    let times: Vec<_> = trail().into_iter().map(|(_, line)| line.at).collect();
    assert_eq!(times, [69, 68, 67, 39, 38, 37, 36, 35, 34].map(at));
}

fn the_audit_trail_is_kept_for_its_time(store: &dyn AccountStore) {
    for seconds in [0, 5, 20] {
        store.note(&entry(seconds, AuditAction::SignIn, "")).unwrap();
    }
    let left: Vec<_> = store.audit(None, 100).unwrap().into_iter().map(|(_, line)| line.at).collect();
    assert_eq!(left, [at(20)]);
}
