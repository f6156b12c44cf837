//! The choice between dark and light. It belongs to a screen and not to a person, so the browser keeps it.

use std::time::Duration;

use crate::cookie;
use crate::fields::local_path;
use crate::reply::Reply;
use crate::routes::Answered;
use crate::visit::{Theme, Visit};

/// How long it is kept.
const AGE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Keeps the choice and goes back.
pub(crate) fn choose(visit: &Visit) -> Answered {
    let theme = Theme::parse(visit.form.one("theme"));
    let then = local_path(visit.form.one("then")).unwrap_or("/");
    let cookie = cookie::keep(cookie::THEME, theme.as_str(), AGE, visit.console.cookies);
    Ok(Reply::on_to(then).with_cookie(&cookie))
}
