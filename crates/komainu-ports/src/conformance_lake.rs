//! What every engine that keeps the lake must do.
//!
//! An engine that moves rows about by itself, such as from a store of fresh rows into files, is checked in each of its states:
//! `new` makes lakes that do so at once, never, or after each batch.

#![expect(clippy::unwrap_used, reason = "these functions are the bodies of tests")]

mod draws;
mod questions;

use std::ops::ControlFlow;
use std::sync::Arc;

use komainu_model::Timestamp;

use self::draws::{Draws, SomeRows};
use crate::lake::{
    LAKE_STREAM_BYTES_MAX, LAKE_TEXT_BYTES_MAX, LISTED_ROWS_MAX, Lake, LakeAppended, LakeBatchName, LakeError,
    LakeFilter, LakeListing, LakeOrder, LakeQuestion, LakeRows, LakeRowsBuilder, LakeTable, LakeTest, LakeValue,
    TimeBucket, TimeRange,
};

/// Checks everything that does not need a medium; `new` makes an empty lake.
pub fn check_lake(new: &mut dyn FnMut() -> Arc<dyn Lake>) {
    starts_empty(&*new());
    takes_a_batch_once(&*new());
    remembers_batches_without_rows(&*new());
    tells_names_apart(&*new());
    refuses_what_makes_no_sense(&*new());
    takes_several_tables_at_once(&*new());
    keeps_hostile_texts(&*new());
    keeps_odd_numbers(&*new());
    keeps_times_far_away(&*new());
    lists_in_order(&*new());
    shows_each_row_once(&*new());
    removes_whole_months(&*new());
    takes_batches_from_many_threads(&*new());
    for seed in [1, 2] {
        questions::answers_like_counting_by_hand(&*new(), seed);
    }
}

/// Checks that what was taken is there after closing and opening; `open` opens the same place again each time, and nobody has
/// it open when it is called.
pub fn check_durable_lake(open: &mut dyn FnMut() -> Arc<dyn Lake>) {
    let rows = SomeRows::drawn(7);
    let mut lake = open();
    for (sequence, batch) in rows.batches.iter().enumerate() {
        assert_eq!(lake.append(&name("durable", sequence as u64), batch).unwrap(), LakeAppended::New);
        if sequence % 2 == 0 {
            drop(lake);
            lake = open();
        }
    }
    for (sequence, batch) in rows.batches.iter().enumerate() {
        assert!(lake.holds(&name("durable", sequence as u64)));
        assert_eq!(lake.append(&name("durable", sequence as u64), batch).unwrap(), LakeAppended::Known);
    }
    let month = TimeBucket::Month.number(draws::middle());
    let before = TimeBucket::Month.start(month);
    let expected = rows.all().filter(|(_, row)| at_of(row) < before).count() as u64;
    assert_eq!(lake.retain(before).unwrap(), expected);
    drop(lake);
    let lake = open();
    for table in LakeTable::ALL {
        let kept = rows.of_table(table).filter(|row| at_of(row) >= before);
        assert_alike(all_rows(&*lake, table), kept.cloned().collect());
    }
    for sequence in 0..rows.batches.len() as u64 {
        assert!(lake.holds(&name("durable", sequence)), "what was removed has come");
    }
    questions::check_all(&*lake, &rows, before, 8);
}

fn starts_empty(lake: &dyn Lake) {
    let states = lake.state().unwrap();
    let tables: Vec<LakeTable> = states.iter().map(|state| state.table).collect();
    assert_eq!(tables, LakeTable::ALL);
    for state in states {
        assert_eq!((state.rows, state.hot_rows, state.parts, state.times), (0, 0, 0, None));
        let answer = lake.count(&everything(state.table)).unwrap();
        assert_eq!((answer.len(), answer.rows), (0, 0), "there is no group without rows");
        assert_eq!(all_rows(lake, state.table), Vec::<Row>::new());
        let list = lake.list(&listing(state.table, LakeOrder::Newest, 1)).unwrap();
        assert_eq!((list.table(), list.len()), (state.table, 0));
    }
    assert!(!lake.holds(&name("a", 0)));
    assert_eq!(lake.retain(Timestamp::from_unix_millis(i64::MAX)).unwrap(), 0);
}

fn takes_a_batch_once(lake: &dyn Lake) {
    let row = connection(1, "192.0.2.1", 23);
    assert_eq!(append(lake, "a", 0, std::slice::from_ref(&row)), LakeAppended::New);
    assert_eq!(append(lake, "a", 0, std::slice::from_ref(&row)), LakeAppended::Known);
    let other = connection(2, "192.0.2.2", 80);
    assert_eq!(append(lake, "a", 0, &[other]), LakeAppended::Known, "its name is what it is known by");
    assert_eq!(all_rows(lake, LakeTable::Connections), std::slice::from_ref(&row));
    assert_eq!(append(lake, "a", 1, std::slice::from_ref(&row)), LakeAppended::New);
    assert_eq!(all_rows(lake, LakeTable::Connections), [row.clone(), row], "equal rows are several");
    let state = lake.state().unwrap().into_iter().find(|state| state.table == LakeTable::Connections).unwrap();
    assert_eq!((state.rows, state.times), (2, Some((at(1), at(1)))));
    assert!(state.hot_rows <= state.rows);
}

fn remembers_batches_without_rows(lake: &dyn Lake) {
    for (sequence, rows) in [(0, Vec::new()), (1, vec![LakeRows::none(LakeTable::Attacks)])] {
        assert!(!lake.holds(&name("a", sequence)));
        assert_eq!(lake.append(&name("a", sequence), &rows).unwrap(), LakeAppended::New);
        assert!(lake.holds(&name("a", sequence)));
        assert_eq!(lake.append(&name("a", sequence), &rows).unwrap(), LakeAppended::Known);
    }
    assert_eq!(append(lake, "a", 0, &[connection(1, "192.0.2.1", 23)]), LakeAppended::Known);
    assert!(lake.state().unwrap().iter().all(|state| state.rows == 0));
}

fn tells_names_apart(lake: &dyn Lake) {
    let long = "é".repeat(LAKE_STREAM_BYTES_MAX / 2);
    let names = [("a", 0), ("a", 1), ("a", u64::MAX), ("a", i64::MAX as u64 + 1), ("b", 0), ("A", 0), ("", 0)];
    let names = names.into_iter().chain([("a/0", 0), ("a\0", 0), ("../a", 0), ("a' OR '1", 0), (&*long, 0)]);
    for (count, (stream, sequence)) in names.clone().enumerate() {
        assert!(!lake.holds(&name(stream, sequence)), "{stream:?} {sequence}");
        let row = connection(count as i64, "192.0.2.1", 23);
        assert_eq!(append(lake, stream, sequence, &[row]), LakeAppended::New, "{stream:?} {sequence}");
    }
    for (stream, sequence) in names.clone() {
        assert!(lake.holds(&name(stream, sequence)), "{stream:?} {sequence}");
    }
    assert_eq!(all_rows(lake, LakeTable::Connections).len(), names.count());
}

fn refuses_what_makes_no_sense(lake: &dyn Lake) {
    let refused = |result: Result<(), LakeError>, expected: &str| match result {
        Err(LakeError::Invalid { field, .. }) => assert_eq!(field, expected),
        other => panic!("{expected}: {other:?}"),
    };
    let row = connection(1, "192.0.2.1", 23);
    let long = name(&"a".repeat(LAKE_STREAM_BYTES_MAX + 1), 0);
    refused(lake.append(&long, &[collected(LakeTable::Connections, &[row])]).map(drop), "stream");
    assert!(!lake.holds(&long));
    assert_eq!(all_rows(lake, LakeTable::Connections), Vec::<Row>::new());
    let question = everything(LakeTable::Attacks);
    let ask = |change: &dyn Fn(&mut LakeQuestion)| {
        let mut question = question.clone();
        change(&mut question);
        lake.count(&question).map(drop)
    };
    refused(ask(&|question| question.group_by = vec![0]), "group_by");
    refused(ask(&|question| question.group_by = vec![1, 2, 3, 4, 5]), "group_by");
    refused(ask(&|question| question.group_by = vec![usize::MAX]), "group_by");
    refused(ask(&|question| question.distinct = Some(0)), "distinct");
    refused(ask(&|question| question.top = Some(0)), "top");
    let filter = LakeFilter { column: 1, test: LakeTest::OneOf(vec![LakeValue::Number(1)]) };
    refused(ask(&|question| question.filters = vec![filter.clone()]), "filters");
    for limit in [0, LISTED_ROWS_MAX + 1] {
        refused(lake.list(&listing(LakeTable::Attacks, LakeOrder::Newest, limit)).map(drop), "limit");
    }
    let odd = LakeListing { filters: vec![filter], ..listing(LakeTable::Attacks, LakeOrder::Newest, 1) };
    refused(lake.list(&odd).map(drop), "filters");
    refused(lake.visit(&odd, &mut |_| ControlFlow::Continue(())), "filters");
    // A time that ends before it begins is no mistake: nothing lies in it.
    let range = TimeRange { from: at(10), to: at(1) };
    assert_eq!(lake.count(&LakeQuestion { range, ..question }).unwrap().rows, 0);
}

fn takes_several_tables_at_once(lake: &dyn Lake) {
    let rows = SomeRows::drawn(1);
    let mut batch: Vec<LakeRows> = rows.batches.iter().flatten().cloned().collect();
    batch.push(LakeRows::none(LakeTable::Observables));
    assert_eq!(lake.append(&name("a", 0), &batch).unwrap(), LakeAppended::New);
    assert_eq!(lake.append(&name("a", 0), &batch[..1]).unwrap(), LakeAppended::Known);
    for state in lake.state().unwrap() {
        let expected: Vec<Row> = rows.of_table(state.table).cloned().collect();
        let times = expected.iter().map(at_of).min().zip(expected.iter().map(at_of).max());
        assert_eq!((state.rows, state.times), (expected.len() as u64, times), "{:?}", state.table);
        assert_alike(all_rows(lake, state.table), expected);
    }
}

fn keeps_hostile_texts(lake: &dyn Lake) {
    let longest = "x".repeat(LAKE_TEXT_BYTES_MAX);
    let cut_inside = format!("{}é", "x".repeat(LAKE_TEXT_BYTES_MAX - 1));
    let beyond = format!("{longest}y");
    let texts = [
        "",
        " ",
        "\0",
        "a\0b",
        "a",
        "A",
        "ä",
        "\u{202e}gnp.exe",
        "\r\n",
        "\u{1b}[2J",
        "%_",
        "'; DROP TABLE attacks; --",
        "<script>",
        "null",
        "NULL",
        "0",
        "\u{feff}",
        "\u{10ffff}",
        "\\",
        "\"",
        "a,b",
        "日本",
        &longest,
        &cut_inside,
    ];
    let rows: Vec<Row> = texts.iter().map(|text| connection(1, text, 23)).collect();
    append(lake, "a", 0, &rows);
    append(lake, "a", 1, &[connection(1, &beyond, 23)]);
    let kept = |text: &str| text[..text.floor_char_boundary(LAKE_TEXT_BYTES_MAX)].to_owned();
    let expected: Vec<Row> =
        texts.iter().copied().chain([&*beyond]).map(|text| connection(1, &kept(text), 23)).collect();
    assert_alike(all_rows(lake, LakeTable::Connections), expected.clone());
    let column = LakeTable::Connections.column("remote").unwrap();
    for text in texts {
        let text = kept(text);
        let filters = vec![LakeFilter { column, test: LakeTest::OneOf(vec![LakeValue::text(&text)]) }];
        let question = LakeQuestion { filters, group_by: vec![column], ..everything(LakeTable::Connections) };
        let answer = lake.count(&question).unwrap();
        let count = expected.iter().filter(|row| row[column] == LakeValue::text(&text)).count() as u64;
        assert_eq!((answer.rows, answer.len()), (count, 1), "{text:?}");
        let group = answer.groups().next().unwrap();
        assert_eq!((group.values, group.count), (vec![LakeValue::text(&text)], count));
    }
    let mut words: Vec<String> = expected.iter().map(|row| row[column].to_string()).collect();
    words.sort();
    words.dedup();
    let question = LakeQuestion { group_by: vec![column], ..everything(LakeTable::Connections) };
    let mut groups = lake.count(&question).unwrap().groups().collect::<Vec<_>>();
    assert_eq!(groups.remove(0).count, 2, "what was cut is like what was as long");
    let told: Vec<String> = groups.iter().map(|group| group.values[0].to_string()).collect();
    words.retain(|word| *word != longest);
    assert_eq!(told, words, "groups with as many rows are in the order of their values");
}

fn keeps_odd_numbers(lake: &dyn Lake) {
    let numbers = [0.0, -0.0, 1.5, -1e308, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    let row = |number: f64| {
        let text = LakeValue::text;
        vec![LakeValue::Time(at(1)), text("d"), text("m"), text(""), LakeValue::Float(number), text("1"), text("r")]
    };
    let rows: Vec<Row> = numbers.into_iter().map(row).collect();
    lake.append(&name("a", 0), &[collected(LakeTable::Datapoints, &rows)]).unwrap();
    assert_alike(all_rows(lake, LakeTable::Datapoints), rows);
    let ask = |test: LakeTest| {
        let filters = vec![LakeFilter { column: 4, test }];
        lake.count(&LakeQuestion { filters, ..everything(LakeTable::Datapoints) }).unwrap().rows
    };
    assert_eq!(ask(LakeTest::Between(f64::NEG_INFINITY, f64::INFINITY)), 7, "what is no number lies between none");
    assert_eq!(ask(LakeTest::Between(0.0, 2.0)), 4);
    assert_eq!(ask(LakeTest::Between(f64::NAN, 2.0)), 0);
    assert_eq!(ask(LakeTest::OneOf(vec![LakeValue::Float(0.0)])), 2);
    assert_eq!(ask(LakeTest::OneOf(vec![LakeValue::Float(f64::NAN)])), 0);
    assert_eq!(ask(LakeTest::NoneOf(vec![LakeValue::Float(f64::NAN)])), 8);
    let ports = [0, 1, 65_535, 65_536, u32::MAX].map(|port| connection(1, "a", port));
    append(lake, "a", 1, &ports);
    let filters = vec![LakeFilter { column: 3, test: LakeTest::Between(65_535.5, f64::MAX) }];
    assert_eq!(lake.count(&LakeQuestion { filters, ..everything(LakeTable::Connections) }).unwrap().rows, 2);
    let question = LakeQuestion { group_by: vec![3], ..everything(LakeTable::Connections) };
    let told: Vec<LakeValue> = lake.count(&question).unwrap().groups().flat_map(|group| group.values).collect();
    assert_eq!(told, [0, 1, 65_535, 65_536, u32::MAX].map(LakeValue::Number), "numbers are in their own order");
}

fn keeps_times_far_away(lake: &dyn Lake) {
    // 1601, before and after 1970, 2038, the last of the year 9999.
    let times = [-11_644_473_600_000, -1, 0, 1, 2_147_483_648_000, 253_402_300_799_999];
    let rows: Vec<Row> = times.iter().map(|at_ms| connection(*at_ms, "192.0.2.1", 23)).collect();
    append(lake, "a", 0, &rows);
    assert_alike(all_rows(lake, LakeTable::Connections), rows);
    for bucket in TimeBucket::ALL {
        let question = LakeQuestion { bucket: Some(bucket), ..everything(LakeTable::Connections) };
        let told: Vec<_> =
            lake.count(&question).unwrap().groups().map(|group| (group.bucket.unwrap(), group.count)).collect();
        let mut expected: Vec<(Timestamp, u64)> = Vec::new();
        for at_ms in times {
            let start = bucket.start(bucket.number(at(at_ms)));
            match expected.last_mut() {
                Some((last, count)) if *last == start => *count += 1,
                _ => expected.push((start, 1)),
            }
        }
        assert_eq!(told, expected, "{bucket:?}");
    }
    let check = |from: i64, to: i64, expected: u64| {
        let question =
            LakeQuestion { range: TimeRange { from: at(from), to: at(to) }, ..everything(LakeTable::Connections) };
        assert_eq!(lake.count(&question).unwrap().rows, expected, "{from}..{to}");
    };
    check(-1, 1, 2);
    check(-1, 2, 3);
    check(0, 0, 0);
    check(i64::MIN, -1, 1);
    check(i64::MIN, 0, 2);
    check(253_402_300_799_999, i64::MAX, 1);
    check(253_402_300_799_999, 253_402_300_799_999, 0);
    assert_eq!(lake.retain(at(0)).unwrap(), 2);
    check(i64::MIN, i64::MAX, 4);
}

fn lists_in_order(lake: &dyn Lake) {
    let rows = SomeRows::drawn(2);
    rows.bring(lake, "a");
    for table in LakeTable::ALL {
        let all: Vec<&Row> = rows.of_table(table).collect();
        for order in [LakeOrder::Newest, LakeOrder::Oldest] {
            for limit in [1, 2, 7, all.len() - 1, all.len(), all.len() + 1, LISTED_ROWS_MAX] {
                check_list(lake, &rows, &listing(table, order, limit));
            }
        }
        let mut draws = Draws::new(3);
        for _ in 0..40 {
            let order = if draws.below(2) == 0 { LakeOrder::Newest } else { LakeOrder::Oldest };
            let limit = 1 + draws.below(50);
            let (range, filters) = (draws.range(), draws.filters(table));
            check_list(lake, &rows, &LakeListing { table, range, filters, order, limit });
        }
    }
}

/// Rows with equal times come in any order, and any of them where not all have room.
fn check_list(lake: &dyn Lake, rows: &SomeRows, listing: &LakeListing) {
    let told = rows_of(&lake.list(listing).unwrap());
    let mut expected: Vec<Row> = rows.meant(listing.table, listing.range, &listing.filters).cloned().collect();
    match listing.order {
        LakeOrder::Newest => expected.sort_by_key(|row| std::cmp::Reverse(at_of(row))),
        LakeOrder::Oldest => expected.sort_by_key(at_of),
    }
    let wanted = expected.len().min(listing.limit);
    let times = |rows: &[Row]| rows.iter().map(at_of).collect::<Vec<_>>();
    assert_eq!(times(&told), times(&expected[..wanted]), "{listing:?}");
    let Some(last) = told.last().map(at_of) else { return };
    let (inside, at_the_end): (Vec<Row>, Vec<Row>) = told.into_iter().partition(|row| at_of(row) != last);
    let mut candidates: Vec<String> =
        expected.iter().filter(|row| at_of(row) == last).map(|row| format!("{row:?}")).collect();
    for row in at_the_end {
        let row = format!("{row:?}");
        let place = candidates.iter().position(|candidate| *candidate == row);
        candidates
            .swap_remove(place.unwrap_or_else(|| panic!("{row} was not asked for, or once too often: {listing:?}")));
    }
    assert_alike(inside, expected.into_iter().take(wanted).filter(|row| at_of(row) != last).collect());
}

fn shows_each_row_once(lake: &dyn Lake) {
    let rows = SomeRows::drawn(4);
    rows.bring(lake, "a");
    let mut draws = Draws::new(5);
    for table in LakeTable::ALL {
        assert_alike(all_rows(lake, table), rows.of_table(table).cloned().collect());
        for _ in 0..20 {
            let (range, filters) = (draws.range(), draws.filters(table));
            let listing = LakeListing { range, filters, ..listing(table, LakeOrder::Oldest, 1) };
            let mut told = Vec::new();
            let visited = lake.visit(&listing, &mut |piece| {
                assert_eq!(piece.table(), table);
                told.extend(rows_of(&piece));
                ControlFlow::Continue(())
            });
            visited.unwrap();
            assert_alike(told, rows.meant(table, listing.range, &listing.filters).cloned().collect());
        }
        let mut pieces = 0;
        let stopped = lake.visit(&listing(table, LakeOrder::Oldest, 1), &mut |_| {
            pieces += 1;
            ControlFlow::Break(())
        });
        stopped.unwrap();
        assert_eq!(pieces, 1, "whoever has enough is shown no more");
    }
}

fn removes_whole_months(lake: &dyn Lake) {
    let rows = SomeRows::drawn(6);
    rows.bring(lake, "a");
    let first = TimeBucket::Month.number(rows.all().map(|(_, row)| at_of(row)).min().unwrap());
    let total = rows.all().count() as u64;
    assert_eq!(lake.retain(TimeBucket::Month.start(first)).unwrap(), 0);
    let mut removed = 0;
    for month in 1..6 {
        let end = TimeBucket::Month.start(first + month);
        // A month that is not over yet stays whole.
        let just_before = Timestamp::from_unix_millis(end.unix_millis() - 1);
        assert_eq!(lake.retain(just_before).unwrap(), 0, "{month}");
        let expected = rows.all().filter(|(_, row)| at_of(row) < end).count() as u64 - removed;
        assert_eq!(lake.retain(end).unwrap(), expected, "{month}");
        assert_eq!(lake.retain(end).unwrap(), 0, "what was removed is removed once");
        removed += expected;
        let kept: u64 = lake.state().unwrap().iter().map(|state| state.rows).sum();
        assert_eq!(kept, total - removed);
        for table in LakeTable::ALL {
            let expected = rows.of_table(table).filter(|row| at_of(row) >= end).cloned().collect();
            assert_alike(all_rows(lake, table), expected);
        }
    }
    assert_eq!(lake.append(&name("a", 0), &rows.batches[0]).unwrap(), LakeAppended::Known, "it came before");
    questions::check_all(lake, &rows, TimeBucket::Month.start(first + 5), 9);
    // What comes late is taken all the same.
    let late = connection(TimeBucket::Month.start(first).unix_millis(), "192.0.2.1", 23);
    assert_eq!(append(lake, "late", 0, std::slice::from_ref(&late)), LakeAppended::New);
    assert!(all_rows(lake, LakeTable::Connections).contains(&late));
}

fn takes_batches_from_many_threads(lake: &dyn Lake) {
    const THREADS: u64 = 8;
    const BATCHES: u64 = 8;
    let new: u64 = std::thread::scope(|threads| {
        let appending: Vec<_> = (0..THREADS)
            .map(|thread| {
                threads.spawn(move || {
                    let stream = if thread % 2 == 0 { "a" } else { "b" };
                    let row = |sequence: u64| connection(sequence as i64, stream, 23);
                    let mine = (0..BATCHES).map(|sequence| append(lake, stream, sequence, &[row(sequence)]));
                    let new = mine.filter(|appended| *appended == LakeAppended::New).count() as u64;
                    lake.count(&everything(LakeTable::Connections)).unwrap();
                    new
                })
            })
            .collect();
        appending.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(new, 2 * BATCHES, "each batch is new to one of those who bring it");
    assert_eq!(lake.count(&everything(LakeTable::Connections)).unwrap().rows, 2 * BATCHES);
}

type Row = Vec<LakeValue>;

fn at(at_ms: i64) -> Timestamp {
    Timestamp::from_unix_millis(at_ms)
}

fn at_of(row: &Row) -> Timestamp {
    match row[0] {
        LakeValue::Time(at) => at,
        _ => panic!("the first column is the time"),
    }
}

fn name(stream: &str, sequence: u64) -> LakeBatchName {
    LakeBatchName { stream: stream.to_owned(), sequence }
}

fn connection(at_ms: i64, remote: &str, port: u32) -> Row {
    let text = LakeValue::text;
    vec![LakeValue::Time(at(at_ms)), text("camera"), text(remote), LakeValue::Number(port), text("1"), text("here")]
}

fn collected(table: LakeTable, rows: &[Row]) -> LakeRows {
    let mut builder = LakeRowsBuilder::new(table);
    for row in rows {
        builder.push(row);
    }
    builder.finish()
}

fn append(lake: &dyn Lake, stream: &str, sequence: u64, connections: &[Row]) -> LakeAppended {
    lake.append(&name(stream, sequence), &[collected(LakeTable::Connections, connections)]).unwrap()
}

fn everything(table: LakeTable) -> LakeQuestion {
    let range = TimeRange::ALL;
    LakeQuestion { table, range, filters: Vec::new(), bucket: None, group_by: Vec::new(), distinct: None, top: None }
}

fn listing(table: LakeTable, order: LakeOrder, limit: usize) -> LakeListing {
    LakeListing { table, range: TimeRange::ALL, filters: Vec::new(), order, limit }
}

fn rows_of(rows: &LakeRows) -> Vec<Row> {
    let columns = rows.table().columns().len();
    (0..rows.len()).map(|row| (0..columns).map(|column| rows.value(row, column)).collect()).collect()
}

fn all_rows(lake: &dyn Lake, table: LakeTable) -> Vec<Row> {
    let mut all = Vec::new();
    let visited = lake.visit(&listing(table, LakeOrder::Oldest, 1), &mut |piece| {
        all.extend(rows_of(&piece));
        ControlFlow::Continue(())
    });
    visited.unwrap();
    all
}

/// The same rows, each as often, in any order. They are compared as they are written, so that a number that is none is like itself.
fn assert_alike(told: Vec<Row>, expected: Vec<Row>) {
    let written = |rows: Vec<Row>| {
        let mut written: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
        written.sort();
        written
    };
    let (told, expected) = (written(told), written(expected));
    assert_eq!(told.len(), expected.len());
    for (told, expected) in told.iter().zip(&expected) {
        assert_eq!(told, expected);
    }
}
