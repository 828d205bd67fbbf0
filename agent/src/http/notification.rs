//! `GET /_config/licenses/_notification`: what has expired or is about to, told from memory. Which, and in which words, is
//! in `protocol::license::notice`.
//!
//! An agent has one site. Parameters that name another one are refused in the words of the document for places that are
//! not known. As at the hub, one of the vendor's own people has no plant of his own: if he names none either, he gets the
//! documented 403 `Admin user`. Apps may ask, too: `app` is there for them to tell their users.

use super::Api;
use super::error::Plant;
use super::who::PlantUser;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use sitewarden_protocol::license::notice::{AHEAD_DAYS, Answer, Asked, Brief, Notice, notices};

pub(super) async fn notification(
    PlantUser(user): PlantUser,
    State(api): State<Api>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Answer>, Plant> {
    let Query(asked) = query.map_err(|_| Plant::bad_request("Insufficient inputs"))?;
    let asked = asked.without_blanks();
    if user.vendor && asked.site_id.is_none() && asked.plant_id.is_none() {
        return Err(Plant::message(StatusCode::FORBIDDEN, "Admin user"));
    }
    let state = api.enforcement.state();
    let ours =
        |given: &Option<String>, own: String| given.as_ref().is_none_or(|given| given.eq_ignore_ascii_case(&own));
    if !ours(&asked.site_id, state.snapshot.site.to_string())
        || !ours(&asked.plant_id, state.snapshot.plant.to_string())
    {
        return Err(Plant::bad_request("Plant id or Site id not found"));
    }
    let told = notices(&state.licenses, asked.app.as_deref(), api.clock.now(), AHEAD_DAYS);
    let notification = if asked.is_nothing() {
        Brief::of(told.iter().filter_map(|notice| notice.of_plant(&state.snapshot.plant_name)))
    } else {
        Brief::Many(told.iter().map(Notice::dated).collect())
    };
    Ok(Json(Answer { notification, asked }))
}
