use super::*;

fn state(bytes: &[u8]) -> Any {
    Any {
        type_url: "type.googleapis.com/shop.State".into(),
        value: bytes.to_vec(),
    }
}

fn changed(before: &[u8], after: &[u8]) -> Option<Vec<u32>> {
    changed_fields(Some(&state(before)), Some(&state(after)))
        .map(|fields| fields.into_iter().collect())
}

#[test]
fn every_strategy_proceeds_on_the_expected_sequence() {
    for strategy in [
        MergeStrategy::MergeCommutative,
        MergeStrategy::MergeStrict,
        MergeStrategy::MergeAggregateHandles,
        MergeStrategy::MergeManual,
    ] {
        assert_eq!(judge(strategy, 3, 3), Verdict::Proceed);
    }
}

#[test]
fn on_another_sequence_the_strategy_decides() {
    assert_eq!(judge(MergeStrategy::MergeStrict, 2, 3), Verdict::Refuse);
    assert_eq!(
        judge(MergeStrategy::MergeCommutative, 2, 3),
        Verdict::CompareFields
    );
    assert_eq!(
        judge(MergeStrategy::MergeCommutative, 4, 3),
        Verdict::Refuse
    );
    assert_eq!(
        judge(MergeStrategy::MergeAggregateHandles, 0, 3),
        Verdict::Proceed
    );
    assert_eq!(judge(MergeStrategy::MergeManual, 2, 3), Verdict::DeadLetter);
}

#[test]
fn fields_are_compared_by_number_and_bytes() {
    // Field 1 = 1, field 2 = "ab".
    let before = [0x08, 1, 0x12, 2, b'a', b'b'];
    assert_eq!(changed(&before, &before), Some(vec![]));
    assert_eq!(
        changed(&before, &[0x08, 2, 0x12, 2, b'a', b'b']),
        Some(vec![1])
    );
    assert_eq!(changed(&before, &[0x08, 1]), Some(vec![2]));
    assert_eq!(changed(&[], &before), Some(vec![1, 2]));
    assert_eq!(
        changed(&before, &[0x12, 2, b'a', b'b', 0x08, 1]),
        Some(vec![])
    );
}

#[test]
fn a_repeated_field_is_one_field() {
    assert_eq!(
        changed(&[0x08, 1, 0x08, 2], &[0x08, 1, 0x08, 3]),
        Some(vec![1])
    );
}

#[test]
fn what_cannot_be_compared_is_told() {
    assert_eq!(changed_fields(None, Some(&state(&[]))), None);
    assert_eq!(changed_fields(Some(&state(&[])), None), None);
    let other = Any {
        type_url: "type.googleapis.com/shop.Other".into(),
        value: Vec::new(),
    };
    assert_eq!(changed_fields(Some(&state(&[])), Some(&other)), None);
    assert_eq!(changed(&[0x08], &[0x08, 1]), None);
}

#[test]
fn the_prefix_of_a_type_url_is_of_no_importance() {
    let other = Any {
        type_url: "elsewhere.example/shop.State".into(),
        value: vec![0x08, 1],
    };
    let fields = changed_fields(Some(&state(&[])), Some(&other));
    assert_eq!(fields, Some(BTreeSet::from([1])));
}
