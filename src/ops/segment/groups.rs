//! Which rows belong to which segment: ids or offsets, turned into rows grouped by segment.

use std::ops::Range;
use std::sync::Mutex;

use crate::error::{PoolError, Result, try_vec};
use crate::parallel::Parallel;

/// Rows that are looked at before the caller is asked whether to stop.
const PART: usize = 1 << 18;
/// With more segments than this for each row, rows are sorted by comparisons: a count for each segment would cost more.
const SPARSE: usize = 8;

/// Rows grouped by segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    rows: usize,
    segments: usize,
    /// The rows of the first segment in ascending order, then those of the second, and so on; none if that is how they lie.
    order: Option<Vec<usize>>,
    /// The segments that have a row, in ascending order.
    numbers: Vec<usize>,
    /// Where in the order the rows of each of these begin; in the end, where the last of them ends.
    starts: Vec<usize>,
}

impl Groups {
    /// Groups rows by the segment that is named for each.
    pub fn of_ids(ids: &[usize], segments: Option<usize>, parallel: &Parallel<'_>) -> Result<Self> {
        let (mut largest, mut sorted) = (None, true);
        in_parts(ids.len(), parallel, |part| {
            for &id in &ids[part] {
                sorted &= largest.is_none_or(|largest| largest <= id);
                largest = largest.max(Some(id));
            }
        })?;
        let largest = largest.unwrap_or(0);
        let least = if ids.is_empty() { 0 } else { largest.saturating_add(1) };
        let segments = segments.unwrap_or(least);
        if least > segments {
            let rule = format!("is the id of a row, and must be below the number of segments, {segments}");
            return Err(PoolError::value("segments", largest, rule));
        }
        let order = if sorted { None } else { Some(order(ids, segments, parallel)?) };
        let id = |position: usize| ids[order.as_ref().map_or(position, |order| order[position])];
        let begins = |&position: &usize| position == 0 || id(position - 1) != id(position);
        let mut count = 0;
        in_parts(ids.len(), parallel, |part| count += part.filter(begins).count())?;
        let (mut numbers, mut starts) = (try_vec(count)?, try_vec(count + 1)?);
        in_parts(ids.len(), parallel, |part| {
            for position in part.filter(begins) {
                numbers.push(id(position));
                starts.push(position);
            }
        })?;
        starts.push(ids.len());
        Ok(Self { rows: ids.len(), segments, order, numbers, starts })
    }

    /// Groups `rows` rows by where each segment begins, and where the last one ends.
    pub fn of_offsets(offsets: &[usize], rows: usize) -> Result<Self> {
        let segments = match offsets {
            [] => return Err(PoolError::value("segments", "no offset", "must be at least one, 0")),
            [0, ..] => offsets.len() - 1,
            [first, ..] => return Err(PoolError::value("segments", first, "is the first offset, and must be 0")),
        };
        if let Some(pair) = offsets.windows(2).find(|pair| pair[0] > pair[1]) {
            let rule = format!("follows {}: offsets must not descend", pair[0]);
            return Err(PoolError::value("segments", pair[1], rule));
        }
        if offsets[segments] != rows {
            let rule = format!("is the last offset, and must be the number of rows, {rows}");
            return Err(PoolError::value("segments", offsets[segments], rule));
        }
        let present = || (0..segments).filter(|&segment| offsets[segment] < offsets[segment + 1]);
        let count = present().count();
        let (mut numbers, mut starts) = (try_vec(count)?, try_vec(count + 1)?);
        numbers.extend(present());
        starts.extend(present().map(|segment| offsets[segment]));
        starts.push(rows);
        Ok(Self { rows, segments, order: None, numbers, starts })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of segments, those without a row among them.
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// The segments that have a row.
    pub fn numbers(&self) -> &[usize] {
        &self.numbers
    }

    /// The first segment without a row.
    pub fn first_empty(&self) -> Option<usize> {
        let gap = self.numbers.iter().enumerate().find(|(place, number)| place != *number);
        let first = gap.map_or(self.numbers.len(), |(place, _)| place);
        (first < self.segments).then_some(first)
    }

    /// Where in the order the rows of a segment lie, given its place among those that have one.
    pub fn run(&self, place: usize) -> Range<usize> {
        self.starts[place]..self.starts[place + 1]
    }

    /// The segments that have rows in a part of the order that is not empty, by their places.
    pub fn runs(&self, part: &Range<usize>) -> Range<usize> {
        let first = self.starts.partition_point(|&start| start <= part.start) - 1;
        first..self.starts[..self.numbers.len()].partition_point(|&start| start < part.end)
    }

    /// The rows of a part of the order.
    pub fn rows_at<'a>(&'a self, part: &Range<usize>, into: &'a mut Vec<usize>) -> &'a [usize] {
        if let Some(order) = &self.order {
            return &order[part.clone()];
        }
        into.clear();
        into.extend(part.clone());
        into
    }
}

/// The rows sorted by their ids; those of the same id stay in ascending order.
fn order(ids: &[usize], segments: usize, parallel: &Parallel<'_>) -> Result<Vec<usize>> {
    let mut order = try_vec(ids.len())?;
    if segments / SPARSE > ids.len() {
        order.extend(0..ids.len());
        order.sort_unstable_by_key(|&row: &usize| (ids[row], row));
        return Ok(order);
    }
    order.resize(ids.len(), 0);
    // Of each segment the number of its rows, then where the next of them goes.
    let mut places: Vec<usize> = try_vec(segments)?;
    places.resize(segments, 0);
    in_parts(ids.len(), parallel, |part| ids[part].iter().for_each(|&id| places[id] += 1))?;
    let mut before = 0;
    for place in &mut places {
        (*place, before) = (before, before + *place);
    }
    in_parts(ids.len(), parallel, |part| {
        for row in part {
            let place = &mut places[ids[row]];
            order[*place] = row;
            *place += 1;
        }
    })?;
    Ok(order)
}

/// Does work on `n` items part by part, in ascending order and by this thread alone, so that a call can end in between.
fn in_parts(n: usize, parallel: &Parallel<'_>, work: impl FnMut(Range<usize>) + Send) -> Result<()> {
    let work = Mutex::new(work);
    let task = |(): &mut (), part: usize| {
        if let Ok(mut work) = work.lock() {
            work(part * PART..n.min((part + 1) * PART));
        }
        Ok(())
    };
    // No traffic is claimed: that is what keeps the parts on this thread.
    parallel.run(n.div_ceil(PART), 0, || (), task, drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(groups: &Groups) -> Vec<(usize, Vec<usize>)> {
        let rows = |place| groups.rows_at(&groups.run(place), &mut Vec::new()).to_vec();
        groups.numbers().iter().enumerate().map(|(place, &number)| (number, rows(place))).collect()
    }

    #[test]
    fn rows_are_grouped_in_their_order() {
        let by = |ids: &[usize], segments| Groups::of_ids(ids, segments, &Parallel::default());
        let groups = by(&[3, 0, 3, 1, 0], None).unwrap();
        assert_eq!(listed(&groups), [(0, vec![1, 4]), (1, vec![3]), (3, vec![0, 2])]);
        assert_eq!((groups.segments(), groups.first_empty()), (4, Some(2)));
        assert_eq!(groups.runs(&(0..1)), 0..1);
        assert_eq!(groups.runs(&(1..3)), 0..2);
        assert_eq!(groups.runs(&(4..5)), 2..3);
        // Few rows and many segments are sorted another way.
        assert_eq!(listed(&by(&[900, 0, 900, 1, 0], Some(1000)).unwrap())[2], (900, vec![0, 2]));
        assert_eq!(by(&[0, 0, 2], None).unwrap().order, None);
        assert_eq!(by(&[0, 1], Some(3)).unwrap().first_empty(), Some(2));
        assert_eq!(by(&[], None).unwrap().segments(), 0);
        assert!(by(&[0, 3], Some(3)).is_err());
    }

    #[test]
    fn offsets_say_where_segments_begin() {
        let groups = Groups::of_offsets(&[0, 2, 2, 5], 5).unwrap();
        assert_eq!(listed(&groups), [(0, vec![0, 1]), (2, vec![2, 3, 4])]);
        assert_eq!(groups.first_empty(), Some(1));
        for (offsets, rows) in [(&[][..], 0), (&[1, 2], 2), (&[0, 3, 2], 2), (&[0, 2], 3)] {
            assert!(Groups::of_offsets(offsets, rows).is_err(), "{offsets:?}");
        }
    }
}
