#include "data/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "data/numpy_random.h"
#include "support/temp_dir.h"
#include "support/token_files.h"

namespace trireme {
namespace {

using testing::TempDir;

const Json& golden() {
  static const Json json = read_json(std::string(TRIREME_SOURCE_DIR) + "/tests/golden/data/orders.json");
  return json;
}

/// A data set whose id at place p of the files is p.
class Counted {
 public:
  explicit Counted(const std::vector<int64_t>& lengths) : data_(make(dir_.path("t"), lengths)) {}
  const IndexedDataset& data() const { return data_; }
  DocumentRange all() const { return {0, data_.num_documents()}; }

 private:
  static IndexedDataset make(const std::string& prefix, const std::vector<int64_t>& lengths) {
    testing::write_token_files(prefix, testing::counted_documents(lengths), TokenType::i32);
    return IndexedDataset(prefix);
  }
  TempDir dir_;
  IndexedDataset data_;
};

std::vector<int64_t> some_lengths(int64_t count, uint32_t seed) {
  NumpyRandomState random(seed);
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < count; ++i) lengths.push_back(random.interval(40));
  return lengths;
}

std::vector<int32_t> sample_of(SampleOrder& order, int64_t i, int64_t sequence_length) {
  std::vector<int32_t> ids(static_cast<size_t>(sequence_length) + 1, -1);
  order.sample(ids, i);
  return ids;
}

TEST(NumpyRandom, ShufflesAsNumpyDoes) {
  for (const Json& c : golden().at("shuffles").items()) {
    NumpyRandomState random(static_cast<uint32_t>(c.at("seed").as_integer()));
    std::vector<int32_t> values(static_cast<size_t>(c.at("size").as_integer()));
    std::iota(values.begin(), values.end(), 0);
    random.shuffle(std::span(values));
    const auto& first = c.at("first").items();
    for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(values[i], first[i].as_integer());
    EXPECT_EQ(random.next(), c.at("next").as_integer());
  }
}

TEST(Permutation, HitsEveryIndexOnce) {
  for (const int64_t size : {1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097}) {
    const KeyedPermutation permutation(size, 99);
    std::set<int64_t> hit;
    for (int64_t i = 0; i < size; ++i) {
      const int64_t to = permutation(i);
      EXPECT_GE(to, 0);
      EXPECT_LT(to, size);
      hit.insert(to);
    }
    EXPECT_EQ(static_cast<int64_t>(hit.size()), size);
  }
}

TEST(Permutation,
     LooksRandom) {  // of a random permutation of 1000, 1 index is fixed and 1 follows its neighbour on average
  int fixed = 0, follows = 0;
  double correlation = 0;
  for (uint64_t key = 0; key < 20; ++key) {
    const KeyedPermutation permutation(1000, key);
    for (int64_t i = 0; i < 1000; ++i) {
      fixed += permutation(i) == i;
      follows += i > 0 && permutation(i) == permutation(i - 1) + 1;
      correlation +=
          (static_cast<double>(i) - 499.5) * (static_cast<double>(permutation(i)) - 499.5) / (1000 * 83333.25);
    }
  }
  EXPECT_LT(fixed, 45);
  EXPECT_LT(follows, 45);
  EXPECT_LT(std::abs(correlation) / 20, 0.03);
}

TEST(Split, DealsAsMegatronDoes) {
  const auto sizes = [](std::array<double, 3> shares, int64_t count) {
    const auto parts = split_documents(shares, count);
    EXPECT_EQ(parts[0].begin, 0);
    EXPECT_EQ(parts[0].end, parts[1].begin);
    EXPECT_EQ(parts[1].end, parts[2].begin);
    EXPECT_EQ(parts[2].end, count);
    return std::vector<int64_t>{parts[0].size(), parts[1].size(), parts[2].size()};
  };
  EXPECT_EQ(sizes({949, 50, 1}, 1000), (std::vector<int64_t>{949, 50, 1}));
  EXPECT_EQ(sizes({949, 50, 1}, 1565), (std::vector<int64_t>{1485, 78, 2}));
  EXPECT_EQ(sizes({1, 1, 0}, 5), (std::vector<int64_t>{2, 3, 0}));  // 2.5 rounds to the even 2
  EXPECT_EQ(sizes({1, 1, 0}, 7), (std::vector<int64_t>{4, 3, 0}));  // 3.5 to the even 4
  EXPECT_EQ(sizes({1, 0, 0}, 3), (std::vector<int64_t>{3, 0, 0}));
  EXPECT_EQ(sizes({949, 50, 1}, 0), (std::vector<int64_t>{0, 0, 0}));
}

const Json& foreign() {
  static const Json json = read_json(std::string(TRIREME_SOURCE_DIR) + "/tests/golden/data/foreign_orders.json");
  return json;
}

DataOrder order_named(const std::string& name) {
  return static_cast<DataOrder>(std::find(kDataOrderNames.begin(), kDataOrderNames.end(), name) -
                                kDataOrderNames.begin());
}

std::vector<int64_t> integers(const Json& list) {
  std::vector<int64_t> out;
  for (const Json& item : list.items()) out.push_back(item.as_integer());
  return out;
}

TEST(Split, EqualsTheGoldensOfBothRules) {
  for (const Json& c : foreign().at("splits").items()) {
    std::array<double, 3> shares{};
    for (size_t i = 0; i < 3; ++i) shares[i] = c.at("shares").items()[i].as_real();
    for (const auto& [key, order] : {std::pair("running", DataOrder::megatron), std::pair("each", DataOrder::paddle),
                                     std::pair("each", DataOrder::megatron_v1_1_5)}) {
      const auto parts = split_documents(shares, c.at("count").as_integer(), order);
      for (size_t i = 0; i < 3; ++i)
        EXPECT_EQ((std::vector<int64_t>{parts[i].begin, parts[i].end}), integers(c.at(key).items()[i])) << c.dump();
    }
  }
}

/// Each order over three data sets and three lengths, for runs within an epoch, with a last epoch of which less than 80
/// % is needed, and with one of which more is.
TEST(ForeignOrders, EveryIdOfEverySampleEqualsNumpysWithAndWithoutALastEpochApart) {
  DataConfig config;
  for (size_t i = 0; i < 3; ++i) config.split[i] = foreign().at("shares").items()[i].as_real();
  std::map<std::pair<std::string, bool>, std::set<std::pair<std::string, int64_t>>>
      sets_and_lengths;  // by order, apart
  for (const auto& [name, lengths] : foreign().at("sets").members()) {
    const Counted counted(integers(lengths));
    for (const Json& c : foreign().at("cases").items()) {
      if (c.at("set").as_string() != name) continue;
      config.order = order_named(c.at("order").as_string());
      config.sequence_length = c.at("sequence_length").as_integer();
      config.seed = c.at("seed").as_integer();
      const int64_t num_samples = c.at("num_samples").as_integer();
      const auto order = make_order(counted.data(), config, DataPart::train, num_samples);
      if (c.at("num_epochs").as_integer() > 1)
        sets_and_lengths[{c.at("order").as_string(), c.at("apart").as_bool()}].insert({name, config.sequence_length});
      std::vector<int64_t> firsts;
      uint64_t digest = 0;
      for (int64_t i = 0; i < num_samples; ++i) {
        const std::vector<int32_t> ids = sample_of(*order, i, config.sequence_length);
        if (i < 24) firsts.push_back(ids[0]);
        for (const int32_t id : ids) digest = digest * 6364136223846793005ULL + static_cast<uint64_t>(id) + 1;
      }
      EXPECT_EQ(firsts, integers(c.at("firsts"))) << c.dump();
      EXPECT_EQ(hex(digest), c.at("digest").as_string()) << c.dump();
    }
  }
  for (const auto& [order_and_apart, seen] : sets_and_lengths) EXPECT_EQ(seen.size(), 9U) << order_and_apart.first;
  EXPECT_EQ(sets_and_lengths.size(), 5U);  // megatron-v1.1.5 has no rule for the last epoch
}

TEST(MegatronOrder, EqualsTheTablesMadeWithNumpy) {
  int apart = 0;
  for (const Json& c : golden().at("orders").items()) {
    std::vector<int64_t> lengths;
    for (const Json& length : c.at("lengths").items()) lengths.push_back(length.as_integer());
    const Counted counted(lengths);
    const int64_t length = c.at("sequence_length").as_integer();
    MegatronOrder order(counted.data(), counted.all(), length, c.at("num_samples").as_integer(),
                        c.at("seed").as_integer());
    EXPECT_EQ(order.num_epochs(), c.at("num_epochs").as_integer());
    apart += c.at("apart").as_bool();

    const auto &documents = c.at("documents").items(), &starts = c.at("starts").items(),
               &shuffle = c.at("shuffle").items();
    ASSERT_EQ(order.document_index().size(), documents.size());
    for (size_t i = 0; i < documents.size(); ++i) EXPECT_EQ(order.document_index()[i], documents[i].as_integer()) << i;
    ASSERT_EQ(order.sample_index().size(), starts.size());
    for (size_t i = 0; i < starts.size(); ++i)
      EXPECT_EQ(order.sample_index()[i],
                (MegatronOrder::Start{starts[i].items()[0].as_integer(), starts[i].items()[1].as_integer()}))
          << i;
    ASSERT_EQ(order.shuffle_index().size(), shuffle.size());
    for (size_t i = 0; i < shuffle.size(); ++i) EXPECT_EQ(order.shuffle_index()[i], shuffle[i].as_integer()) << i;

    std::vector<int64_t> begins(lengths.size() + 1, 0);
    std::partial_sum(lengths.begin(), lengths.end(), begins.begin() + 1);
    const MegatronOrder::Start start = order.sample_index()[order.shuffle_index()[0]];
    EXPECT_EQ(sample_of(order, 0, length)[0],
              begins[static_cast<size_t>(order.document_index()[static_cast<size_t>(start.place)])] + start.offset);
  }
  EXPECT_GE(apart, 1);
  EXPECT_LE(apart, 3);
}

TEST(EpochOrder, EveryTokenIsATargetAtMostOnceAnEpoch) {
  const Counted counted(some_lengths(100, 5));
  constexpr int64_t kLength = 7;
  EpochOrder order(counted.data(), counted.all(), kLength, 3);
  const int64_t tokens = counted.data().num_tokens(), samples = order.samples_per_epoch();
  EXPECT_EQ(samples, (tokens - 1) / kLength);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int> used(static_cast<size_t>(tokens));
    for (int64_t i = epoch * samples; i < (epoch + 1) * samples; ++i) {
      const std::vector<int32_t> ids = sample_of(order, i, kLength);
      for (size_t t = 1; t < ids.size(); ++t) ++used[static_cast<size_t>(ids[t])];
    }
    EXPECT_EQ(*std::max_element(used.begin(), used.end()), 1);
    EXPECT_EQ(std::accumulate(used.begin(), used.end(), int64_t{0}), samples * kLength);
  }
}

TEST(EpochOrder, KeepsDocumentsWhole) {  // ids count up within a document: the stream breaks only where one ends
  const std::vector<int64_t> lengths = some_lengths(60, 8);
  const Counted counted(lengths);
  std::set<int32_t> firsts;
  int64_t begin = 0;
  for (const int64_t length : lengths) {
    firsts.insert(static_cast<int32_t>(begin));
    begin += length;
  }
  EpochOrder order(counted.data(), counted.all(), 11, 3);
  for (int64_t i = 0; i < 2 * order.samples_per_epoch(); ++i) {
    const std::vector<int32_t> ids = sample_of(order, i, 11);
    for (size_t t = 1; t < ids.size(); ++t) EXPECT_TRUE(ids[t] == ids[t - 1] + 1 || firsts.count(ids[t]) == 1) << i;
  }
}

TEST(EpochOrder, IsAPureFunctionOfThePosition) {
  const Counted counted(some_lengths(50, 5));
  const auto make = [&](int64_t seed) { return EpochOrder(counted.data(), counted.all(), 5, seed); };
  EpochOrder forward = make(3), other_seed = make(4);
  const int64_t count = 3 * forward.samples_per_epoch();
  std::vector<std::vector<int32_t>> expected;
  int same = 0;
  for (int64_t i = 0; i < count; ++i) {
    expected.push_back(sample_of(forward, i, 5));
    same += expected.back() == sample_of(other_seed, i, 5);
  }
  EXPECT_LT(same, count / 10);
  EpochOrder backward = make(3);
  for (int64_t i = count - 1; i >= 0; --i) EXPECT_EQ(sample_of(backward, i, 5), expected[static_cast<size_t>(i)]) << i;
  for (int64_t from = 0; from < count; from += 37) {
    EpochOrder resumed = make(3);
    for (int64_t i = from; i < std::min(from + 50, count); ++i)
      EXPECT_EQ(sample_of(resumed, i, 5), expected[static_cast<size_t>(i)]);
  }
  EXPECT_NE(expected[0], expected[static_cast<size_t>(forward.samples_per_epoch())]);
}

TEST(EpochOrder, StaysWithinItsPart) {
  const std::vector<int64_t> lengths(100, 10);
  const Counted counted(lengths);
  const auto parts = split_documents({8, 1, 1}, 100);
  EpochOrder order(counted.data(), parts[1], 6, 1);
  for (int64_t i = 0; i < 2 * order.samples_per_epoch(); ++i)
    for (const int32_t id : sample_of(order, i, 6)) EXPECT_TRUE(id >= 800 && id < 900) << id;
}

TEST(EpochOrder, TooLittleTextIsAnError) {
  const Counted counted({3, 2});
  EXPECT_EQ(EpochOrder(counted.data(), counted.all(), 4, 1).samples_per_epoch(), 1);
  try {
    EpochOrder order(counted.data(), counted.all(), 5, 1);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("have 5 ids, one sample takes data.sequence_length + 1 = 6"),
              std::string::npos)
        << error.what();
  }
  EXPECT_THROW(EpochOrder(counted.data(), {1, 1}, 4, 1), ConfigError);
  EXPECT_THROW(MegatronOrder(counted.data(), counted.all(), 5, 1, 1), ConfigError);
  EXPECT_THROW(MegatronOrder(counted.data(), counted.all(), 4, 1, -1), ConfigError);
}

TEST(SequentialOrder, PassesOverThePartOnceWithAShortEnd) {
  const Counted counted({4, 0, 6, 5, 100});
  SequentialOrder order(counted.data(), {1, 4}, 4);  // ids 4 to 14
  ASSERT_EQ(order.samples_per_epoch(), 3);
  EXPECT_EQ(sample_of(order, 0, 4), (std::vector<int32_t>{4, 5, 6, 7, 8}));
  EXPECT_EQ(sample_of(order, 1, 4), (std::vector<int32_t>{8, 9, 10, 11, 12}));
  EXPECT_EQ(sample_of(order, 2, 4), (std::vector<int32_t>{12, 13, 14, 0, 0}));
  EXPECT_EQ(order.num_targets(1), 4);
  EXPECT_EQ(order.num_targets(2), 2);
  EXPECT_EQ(order.num_targets(3), 0);
  EXPECT_EQ(sample_of(order, 3, 4), std::vector<int32_t>(5, 0));
  EXPECT_EQ(SequentialOrder(counted.data(), {1, 2}, 4).samples_per_epoch(), 0);
  EXPECT_EQ(SequentialOrder(counted.data(), {2, 2}, 4).samples_per_epoch(), 0);
}

TEST(TrainingOrder, FollowsTheRecipe) {
  const Counted counted(std::vector<int64_t>(40, 10));
  DataConfig config;
  config.sequence_length = 6;
  config.split = {1, 1, 0};
  EpochOrder epochs(counted.data(), {0, 20}, 6, config.seed);
  MegatronOrder megatron(counted.data(), {0, 20}, 6, 50, config.seed);
  EXPECT_EQ(sample_of(*make_order(counted.data(), config, DataPart::train, 50), 3, 6), sample_of(epochs, 3, 6));
  config.order = DataOrder::megatron;
  EXPECT_EQ(sample_of(*make_order(counted.data(), config, DataPart::train, 50), 3, 6), sample_of(megatron, 3, 6));
}

}  // namespace
}  // namespace trireme
