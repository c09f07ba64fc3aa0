//! stub
use crate::account::Account;
/// page
pub fn page(_account: &Account) -> String {
    String::new()
}
