use super::*;

#[test]
fn tables_and_columns_are_found_by_their_names() {
    for table in LakeTable::ALL {
        assert_eq!(LakeTable::parse(table.as_str()), Some(table));
        assert_eq!(table.columns()[0], LakeColumn { name: "time", kind: LakeKind::Time });
        for (place, column) in table.columns().iter().enumerate() {
            assert_eq!(table.column(column.name), Some(place));
        }
    }
    assert_eq!((LakeTable::parse("nothing"), LakeTable::Attacks.column("nothing")), (None, None));
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let table = LakeTable::Attacks;
    let column = |name: &str| table.column(name).unwrap();
    let question = LakeQuestion {
        table,
        range: TimeRange::ALL,
        filters: Vec::new(),
        bucket: None,
        group_by: vec![column("country")],
        distinct: Some(column("source")),
        top: Some(10),
    };
    let check = |change: &dyn Fn(&mut LakeQuestion), expected: Option<&str>| {
        let mut question = question.clone();
        change(&mut question);
        match (question.check(), expected) {
            (Ok(()), None) => {}
            (Err(error), Some(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (seen, expected) => panic!("{seen:?} {expected:?}"),
        }
    };
    let test = |name: &str, test: LakeTest| LakeFilter { column: column(name), test };
    check(&|_| {}, None);
    check(&|question| question.group_by = vec![1, 2, 4, 5, 6], Some("5 columns"));
    check(&|question| question.group_by = vec![2, 2], Some("twice"));
    check(&|question| question.group_by = vec![0], Some("bucket"));
    check(&|question| question.group_by = vec![99], Some("no such column"));
    check(&|question| question.distinct = Some(0), Some("not counted"));
    check(&|question| question.top = Some(0), Some("at least"));
    check(&|question| question.filters = vec![test("port", LakeTest::Between(1.0, 2.0))], None);
    check(&|question| question.filters = vec![test("port", LakeTest::BeginsWith("2".into()))], Some("whole number"));
    check(&|question| question.filters = vec![test("source", LakeTest::Between(1.0, 2.0))], Some("source is a text"));
    check(&|question| question.filters = vec![test("time", LakeTest::OneOf(Vec::new()))], Some("range"));
    let many = LakeTest::OneOf(vec![LakeValue::Number(1); FILTER_VALUES_MAX + 1]);
    check(&|question| question.filters = vec![test("port", many.clone())], Some("1025 values"));
}

#[test]
fn tests_hold_of_values() {
    let check = |test: LakeTest, value: LakeValue, expected: bool| {
        assert_eq!(test.holds(&value), expected, "{test:?} {value:?}");
    };
    let text = LakeValue::text;
    check(LakeTest::OneOf(vec![text("a"), text("b")]), text("b"), true);
    check(LakeTest::NoneOf(vec![text("a"), text("b")]), text("b"), false);
    check(LakeTest::BeginsWith("192.0.2.".into()), text("192.0.2.7"), true);
    check(LakeTest::BeginsWith("192.0.2.".into()), text("192.0.20.7"), false);
    check(LakeTest::Contains("GoAhead".into()), text("server: goahead-webs"), true);
    check(LakeTest::Contains(String::new()), text(""), true);
    check(LakeTest::Contains("x".into()), text(""), false);
    check(LakeTest::Between(1.0, 1023.0), LakeValue::Number(1023), true);
    check(LakeTest::Between(1.0, 1023.0), LakeValue::Number(1024), false);
    check(LakeTest::Between(f64::NAN, 1.0), LakeValue::Float(0.5), false);
}

#[test]
fn rows_are_collected_by_columns() {
    let table = LakeTable::Connections;
    let mut builder = LakeRowsBuilder::new(table);
    let row = |at: i64, remote: &str| {
        let at = LakeValue::Time(Timestamp::from_unix_millis(at));
        let text = LakeValue::text;
        [at, text("camera-1"), text(remote), LakeValue::Number(443), text("1"), text("here")]
    };
    builder.push(&row(5, "192.0.2.1"));
    builder.push(&row(6, &"é".repeat(LAKE_TEXT_BYTES_MAX)));
    builder.push(&row(7, "192.0.2.1"));
    let rows = builder.finish();
    assert_eq!((rows.len(), rows.times()), (3, &[5, 6, 7][..]));
    assert_eq!(rows.value(2, 2), LakeValue::text("192.0.2.1"));
    assert_eq!(rows.value(1, 2).to_string().len(), LAKE_TEXT_BYTES_MAX);
    let columns = rows.clone().into_columns();
    assert_eq!(LakeRows::from_columns(table, columns.clone()).unwrap(), rows);
    assert!(LakeRows::from_columns(LakeTable::Attacks, columns.clone()).is_err());
    let mut short = columns;
    short[3] = LakeValues::Number(vec![1]);
    assert!(LakeRows::from_columns(table, short).unwrap_err().to_string().contains("port has 1 values for 3 rows"));
}
