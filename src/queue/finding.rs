//! What is to be said of a store before mail depends on it.

/// One line for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Fine(String),
    /// Mail is taken and sent, and something may go wrong.
    Doubtful(String),
    /// Mail cannot be taken.
    Wrong(String),
}
