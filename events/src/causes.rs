//! How an error is told where nothing but a text can be kept of it.

/// Writes an error with its causes, outermost first.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Caused(&'static str, #[source] Option<Box<Caused>>);

    #[test]
    fn an_error_is_told_with_each_of_its_causes_once() {
        let disk = Caused("the disk is full", None);
        let log = Caused("the log can't be written", Some(Box::new(disk)));
        let market = Caused("the market stops", Some(Box::new(log)));
        assert_eq!(with_causes(&market), "the market stops: the log can't be written: the disk is full");
    }
}
