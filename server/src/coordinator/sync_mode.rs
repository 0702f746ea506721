use angzarr_proto::v1::SyncMode;

/// What becomes of new events once they are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivery {
    /// No projector, saga, process manager, subscriber or bridge ever gets the events.
    pub(super) isolated: bool,
}

/// The mode that counts: that of the first page over that of the request.
pub(super) fn effective(page: Option<SyncMode>, request: SyncMode) -> SyncMode {
    page.unwrap_or(request)
}

/// What a mode means. The numbers of the enumeration have no order.
pub(super) const fn delivery(mode: SyncMode) -> Delivery {
    match mode {
        SyncMode::Async | SyncMode::Simple | SyncMode::Cascade | SyncMode::Decision => {
            Delivery { isolated: false }
        }
        SyncMode::Isolated => Delivery { isolated: true },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_overrides_the_request() {
        let page = Some(SyncMode::Isolated);
        assert_eq!(effective(page, SyncMode::Async), SyncMode::Isolated);
        assert_eq!(
            effective(Some(SyncMode::Async), SyncMode::Isolated),
            SyncMode::Async
        );
        assert_eq!(effective(None, SyncMode::Isolated), SyncMode::Isolated);
    }

    #[test]
    fn only_isolated_keeps_events_from_everybody() {
        for mode in [
            SyncMode::Async,
            SyncMode::Simple,
            SyncMode::Cascade,
            SyncMode::Decision,
        ] {
            assert!(!delivery(mode).isolated);
        }
        assert!(delivery(SyncMode::Isolated).isolated);
    }
}
