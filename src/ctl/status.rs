//! `herder status`: how instances are doing, for people and for programs.

use super::ask::{read_status, status_object};
use super::find::Places;
use super::{human, print, soon, table};
use crate::error::Error;
use std::time::SystemTime;

/// `herder status [INSTANCE]`: a table, or with `json` the status as the Varlink interface describes it.
///
/// # Errors
///
/// [`Error::NotRunning`], [`Error::Denied`], or [`Error::Failed`] if there is no sensible answer in time.
pub fn status(instance: Option<&str>, json: bool) -> Result<(), Error> {
    let instance = Places::of_system().find(instance)?;
    let object = status_object(&instance, soon())?;
    if json {
        return print(&format!("{object:#}\n"));
    }
    let status = read_status(&instance, object)?;
    print(&table::render(&status, SystemTime::now(), human::width()))
}
