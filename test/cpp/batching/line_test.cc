#include "batching/line.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

using namespace ml_worker;  // NOLINT(google-build-using-namespace)
using std::chrono::seconds;

namespace {

const Clock::time_point kNow{seconds(1000)};

WorkItem item(std::uint64_t caller, std::size_t tokens = 10) {
  WorkItem work;
  work.caller = caller;
  work.input.ids.resize(tokens);
  return work;
}

std::vector<WorkItem> items(std::uint64_t caller, std::size_t count, std::size_t tokens = 10) {
  std::vector<WorkItem> work;
  for (std::size_t i = 0; i < count; ++i) work.push_back(item(caller, tokens));
  return work;
}

bool any(const WorkItem& /*item*/) { return true; }

std::vector<std::uint64_t> callers(const std::vector<WorkItem>& work) {
  std::vector<std::uint64_t> result;
  for (const WorkItem& each : work) result.push_back(each.caller);
  return result;
}

using Callers = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("one caller's texts come in their order, up to the tokens asked for") {
  Line line;
  line.add(items(1, 5), kNow);
  const auto seen = line.front(25, any);
  REQUIRE(seen.size() == 3);
  CHECK(seen[0]->share == 0);
  CHECK(seen[1]->share == 10);
  CHECK(seen[2]->share == 20);
}

TEST_CASE("callers take turns by tokens, not by texts") {
  Line line;
  line.add(items(1, 6, 10), kNow);
  line.add(items(2, 2, 30), kNow);
  CHECK(callers(line.take(line.front(120, any))) == Callers{1, 2, 1, 1, 1, 2, 1, 1});
}

TEST_CASE("who comes later does not wait for all that another has waiting") {
  Line line;
  line.add(items(1, 1000), kNow);
  line.take(line.front(300, any));
  line.add(items(2, 2), kNow);
  const auto next = callers(line.take(line.front(50, any)));
  CHECK(std::count(next.begin(), next.end(), 2U) == 2);
}

TEST_CASE("who was idle has saved nothing up") {
  Line line;
  line.add(items(1, 100), kNow);
  line.take(line.front(500, any));
  line.add(items(2, 100), kNow);
  const auto next = callers(line.take(line.front(200, any)));
  const auto second = std::count(next.begin(), next.end(), 2U);
  CHECK(second >= 10);
  CHECK(second <= 11);
}

TEST_CASE("who names no deadline is due in half a minute") {
  Line line;
  line.add(items(1, 1), kNow);
  WorkItem hurried = item(2);
  hurried.deadline = kNow + seconds(2);
  std::vector<WorkItem> work;
  work.push_back(std::move(hurried));
  line.add(std::move(work), kNow);
  const auto seen = line.front(100, any);
  CHECK(seen[0]->due == kNow + seconds(30));
  CHECK(seen[1]->due == kNow + seconds(2));
}

TEST_CASE("who is due first comes first of those within reach, not who has had much more") {
  Line line;
  line.add(items(1, 100), kNow);
  line.take(line.front(500, any));
  line.add(items(2, 3), kNow + seconds(1));
  std::vector<WorkItem> work = items(3, 1);
  work[0].deadline = kNow + seconds(2);
  line.add(std::move(work), kNow + seconds(2));
  const auto near = line.hurried(1000, 15, any);
  REQUIRE(near.size() == 5);
  CHECK(near[0]->item.caller == 3);
  CHECK(near[1]->item.caller == 1);
  CHECK(near[2]->share == near[1]->share + 10);
  CHECK(near[3]->item.caller == 2);
  CHECK(line.hurried(20, 15, any).size() == 2);
  CHECK(line.hurried(20, 15, [](const WorkItem& item) { return item.caller == 2; }).size() == 2);
}

TEST_CASE("what nobody wants is no reason for the line to go on") {
  Line line;
  line.add(items(1, 2), kNow);
  line.remove({line.front(100, any)[0]});
  line.add(items(2, 1), kNow);
  CHECK(line.front(100, any).back()->share == 10);
  CHECK(callers(line.take(line.front(100, any))) == Callers{2, 1});
}

TEST_CASE("newcomers stand where each of those that wait would be if all had had as much") {
  Line line;
  for (std::uint64_t caller = 1; caller <= 4; ++caller) line.add(items(caller, 10), kNow);
  line.take(line.front(80, any));  // two texts of each
  line.add(items(5, 1), kNow);
  for (const auto* entry : line.front(1000, any)) {
    if (entry->item.caller == 5) CHECK(entry->share == 20);
  }
}

TEST_CASE("what is taken from the middle is gone, and the rest stands where it stood") {
  Line line;
  line.add(items(1, 5), kNow);
  const auto seen = line.front(50, any);
  line.take({seen[1], seen[3]});
  const auto left = line.front(100, any);
  REQUIRE(left.size() == 3);
  CHECK(left[0] == seen[0]);
  CHECK(left[1] == seen[2]);
  CHECK(left[2] == seen[4]);
  line.take(left);
  CHECK(line.front(100, any).empty());
}

TEST_CASE("a filter hides what does not fit, without a place taken") {
  Line line;
  line.add(items(1, 3, 7), kNow);
  line.add(items(2, 3, 10), kNow);
  const auto seen =
      line.front(30, [](const WorkItem& work) { return work.input.ids.size() == 10; });
  CHECK(seen.size() == 3);
}

TEST_CASE("sweeping goes round all that waits, a part at a time") {
  Line line;
  for (std::uint64_t caller = 0; caller < 7; ++caller) line.add(items(caller, 11), kNow);
  std::map<const WorkItem*, int> seen;
  const auto look = [&](const WorkItem& work) {
    ++seen[&work];
    return false;
  };
  for (int i = 0; i < 20; ++i) CHECK(line.sweep(10, look).empty());
  CHECK(seen.size() == 77);
  int parts = 0;
  while (seen.size() > 0 && parts++ < 20) {
    line.sweep(10, [&](const WorkItem& work) { return seen.erase(&work) > 0; });
  }
  CHECK(seen.empty());
  CHECK(line.front(1000, any).empty());
}

TEST_CASE("what sweeping takes does not come to the front") {
  Line line;
  line.add(items(1, 4), kNow);
  int number = 0;
  CHECK(line.sweep(4, [&](const WorkItem& /*work*/) { return number++ % 2 == 0; }).size() == 2);
  CHECK(line.front(100, any).size() == 2);
  line.add(items(1, 1), kNow);
  CHECK(line.take(line.front(100, any)).size() == 3);
}

TEST_CASE("taking everything leaves an empty line that goes on") {
  Line line;
  line.add(items(1, 3), kNow);
  line.add(items(2, 3), kNow);
  line.take({line.front(10, any)[0]});
  CHECK(line.take_all().size() == 5);
  line.add(items(1, 2), kNow);
  CHECK(line.front(100, any).size() == 2);
}
