#include "common/store/external_sort.hpp"

#include <algorithm>
#include <cstring>
#include <span>

namespace vouch::store {
namespace {

// An item as it stands in memory and on disk: key, number (6 bytes), sizes, subkey, payload.
constexpr std::size_t kHeaderBytes = 16 + 6 + 2 + 4;
constexpr std::size_t kReadBytesMin = std::size_t{8} * 1024;
constexpr std::size_t kReadBytesMax = std::size_t{256} * 1024;

std::size_t packed_bytes(const SortItem& item) {
  return kHeaderBytes + item.subkey.size() + item.payload.size();
}

void pack_item(const SortItem& item, char* out) {
  const auto subkey_bytes = static_cast<std::uint16_t>(item.subkey.size());
  const auto payload_bytes = static_cast<std::uint32_t>(item.payload.size());
  std::memcpy(out, item.key.data(), 16);
  std::memcpy(out + 16, &item.number, 6);  // little-endian: the low six bytes
  std::memcpy(out + 22, &subkey_bytes, 2);
  std::memcpy(out + 24, &payload_bytes, 4);
  // A view of nothing may be a null pointer, which memcpy must not see.
  if (subkey_bytes > 0) std::memcpy(out + kHeaderBytes, item.subkey.data(), subkey_bytes);
  if (payload_bytes > 0) {
    std::memcpy(out + kHeaderBytes + subkey_bytes, item.payload.data(), payload_bytes);
  }
}

// The whole size of the item whose header stands at `in`.
std::size_t packed_bytes(const char* in) {
  std::uint16_t subkey_bytes;
  std::uint32_t payload_bytes;
  std::memcpy(&subkey_bytes, in + 22, 2);
  std::memcpy(&payload_bytes, in + 24, 4);
  return kHeaderBytes + subkey_bytes + payload_bytes;
}

SortItem unpack_item(const char* in) {
  SortItem item;
  std::uint16_t subkey_bytes;
  std::uint32_t payload_bytes;
  std::memcpy(item.key.data(), in, 16);
  std::memcpy(&item.number, in + 16, 6);
  std::memcpy(&subkey_bytes, in + 22, 2);
  std::memcpy(&payload_bytes, in + 24, 4);
  item.subkey = {in + kHeaderBytes, subkey_bytes};
  item.payload = {in + kHeaderBytes + subkey_bytes, payload_bytes};
  return item;
}

// The first eight bytes of a key as a number that compares like them.
std::uint64_t prefix_of(const char* key) {
  std::uint64_t prefix = 0;
  for (int i = 0; i < 8; ++i) prefix = prefix << 8 | static_cast<std::uint8_t>(key[i]);
  return prefix;
}

// Everything behind the prefix, which two different recipients hardly ever share.
bool is_less_beyond_prefix(const char* a, const char* b) {
  const SortItem left = unpack_item(a);
  const SortItem right = unpack_item(b);
  if (left.key != right.key) return left.key < right.key;
  if (left.subkey != right.subkey) return left.subkey < right.subkey;
  return left.number < right.number;
}

}  // namespace

SortKey key_of_number(std::uint64_t number) {
  SortKey key{};
  for (std::size_t i = 0; i < 8; ++i) key[i] = static_cast<std::uint8_t>(number >> (56 - 8 * i));
  return key;
}

// Items in memory: their bytes one behind another, and an entry for each to sort by.  Memory that
// is set aside but not used yet costs nothing.
class ExternalSort::Run {
 public:
  explicit Run(std::size_t bytes_max) : capacity_{bytes_max} {
    bytes_ = std::make_unique_for_overwrite<char[]>(capacity_);
    entries_.reserve(capacity_ / kUsualItemBytes);
  }

  [[nodiscard]] bool has_room_for(std::size_t bytes) const {
    return size_ + bytes <= capacity_ || is_empty();
  }
  [[nodiscard]] bool is_empty() const { return entries_.empty(); }

  void add(const SortItem& item) {
    const std::size_t bytes = packed_bytes(item);
    if (size_ + bytes > capacity_) {  // one item larger than a run, and the only one in it
      VOUCH_ASSERT(is_empty());
      capacity_ = bytes;
      bytes_ = std::make_unique_for_overwrite<char[]>(capacity_);
    }
    char* const at = bytes_.get() + size_;
    pack_item(item, at);
    entries_.push_back({prefix_of(at), static_cast<std::uint32_t>(size_)});
    size_ += bytes;
  }

  void sort() {
    std::sort(entries_.begin(), entries_.end(), [this](const Entry& a, const Entry& b) {
      if (a.prefix != b.prefix) return a.prefix < b.prefix;
      return is_less_beyond_prefix(bytes_.get() + a.offset, bytes_.get() + b.offset);
    });
  }

  [[nodiscard]] Result<void> write_to(SpoolFile& file) const {
    for (const Entry& entry : entries_) {
      const char* const item = bytes_.get() + entry.offset;
      VOUCH_CHECK(file.append({item, packed_bytes(item)}));
    }
    return file.flush();
  }

  void clear() {
    entries_.clear();
    size_ = 0;
    taken_ = 0;
  }

  // Moves through the sorted items; null behind the last.
  [[nodiscard]] const char* take() {
    return taken_ == entries_.size() ? nullptr : bytes_.get() + entries_[taken_++].offset;
  }

 private:
  struct Entry {
    std::uint64_t prefix;
    std::uint32_t offset;
  };
  static constexpr std::size_t kUsualItemBytes = 64;

  std::size_t capacity_;
  std::size_t size_ = 0;
  std::unique_ptr<char[]> bytes_;
  std::vector<Entry> entries_;
  std::size_t taken_ = 0;
};

// Merges runs on disk: a heap of their first items.
class ExternalSort::Merge {
 public:
  Merge(const SpoolFile& file, std::span<const Extent> extents, std::size_t bytes) {
    const std::size_t each = std::clamp(bytes / extents.size(), kReadBytesMin, kReadBytesMax);
    readers_.reserve(extents.size());
    for (const Extent& extent : extents) {
      readers_.emplace_back(file, extent.begin, extent.end, each);
    }
  }

  [[nodiscard]] Result<void> start() {
    for (std::size_t i = 0; i < readers_.size(); ++i) {
      VOUCH_TRY(const char* item, look(readers_[i], 0));
      if (item != nullptr) heap_.push_back({prefix_of(item), item, i});
    }
    std::make_heap(heap_.begin(), heap_.end(), is_after);
    return {};
  }

  // The next item; null behind the last.  Valid until the next call.
  [[nodiscard]] Result<const char*> next() {
    if (is_given_) VOUCH_CHECK(replace_top());
    is_given_ = !heap_.empty();
    return is_given_ ? heap_.front().item : nullptr;
  }

 private:
  struct Head {
    std::uint64_t prefix;
    const char* item;
    std::size_t reader;
  };
  static bool is_after(const Head& a, const Head& b) {
    if (a.prefix != b.prefix) return a.prefix > b.prefix;
    return is_less_beyond_prefix(b.item, a.item);
  }

  // The reader's item behind the `skipped` bytes of its last one; null at its end.
  static Result<const char*> look(SpoolReader& reader, std::size_t skipped) {
    reader.skip(skipped);
    VOUCH_TRY(const std::string_view header, reader.view(kHeaderBytes));
    if (header.empty()) return nullptr;
    VOUCH_ASSERT(header.size() >= kHeaderBytes);
    const std::size_t bytes = packed_bytes(header.data());
    VOUCH_TRY(const std::string_view whole, reader.view(bytes));
    VOUCH_ASSERT(whole.size() >= bytes);
    return whole.data();
  }

  // Puts the item behind the given one in its place, and sinks it to where it belongs: one walk
  // down instead of the two of pop_heap and push_heap.
  Result<void> replace_top() {
    Head top = heap_.front();
    VOUCH_TRY(top.item, look(readers_[top.reader], packed_bytes(top.item)));
    if (top.item == nullptr) {
      std::pop_heap(heap_.begin(), heap_.end(), is_after);
      heap_.pop_back();
      return {};
    }
    top.prefix = prefix_of(top.item);
    std::size_t at = 0;
    while (true) {
      std::size_t child = 2 * at + 1;
      if (child >= heap_.size()) break;
      if (child + 1 < heap_.size() && is_after(heap_[child], heap_[child + 1])) ++child;
      if (!is_after(top, heap_[child])) break;
      heap_[at] = heap_[child];
      at = child;
    }
    heap_[at] = top;
    return {};
  }

  std::vector<SpoolReader> readers_;
  std::vector<Head> heap_;
  bool is_given_ = false;
};

ExternalSort::ExternalSort(Options options)
    : options_{std::move(options)}, filling_{std::make_unique<Run>(options_.run_bytes)} {
  VOUCH_ASSERT(options_.fan_in >= 2 && options_.run_bytes < UINT32_MAX / 2);
}

ExternalSort::~ExternalSort() {
  if (writing_.valid()) writing_.wait();  // it uses file_ and extents_
}

Result<void> ExternalSort::add(const SortItem& item) {
  VOUCH_ASSERT(item.subkey.size() <= UINT16_MAX && item.payload.size() <= UINT32_MAX / 2);
  if (!filling_->has_room_for(packed_bytes(item))) VOUCH_CHECK(spill());
  filling_->add(item);
  ++size_;
  return {};
}

// Hands the full run to a thread of its own, when the one before it is written.
Result<void> ExternalSort::spill() {
  VOUCH_CHECK(await_spilled());
  if (!file_) {
    VOUCH_TRY(SpoolFile file, SpoolFile::create(options_.folder));
    file_ = std::make_unique<SpoolFile>(std::move(file));
  }
  if (extents_.size() == options_.fan_in) VOUCH_CHECK(merge_runs_on_disk());
  writing_ = std::async(std::launch::async, [this, run = std::move(filling_)]() mutable {
    run->sort();
    const std::uint64_t begin = file_->size();
    auto written = run->write_to(*file_);
    extents_.push_back({begin, file_->size()});
    run->clear();
    return Written{std::move(run), std::move(written)};
  });
  filling_ = spare_ ? std::move(spare_) : std::make_unique<Run>(options_.run_bytes);
  return {};
}

Result<void> ExternalSort::await_spilled() {
  if (!writing_.valid()) return {};
  Written written = writing_.get();
  spare_ = std::move(written.run);
  return std::move(written.result);
}

// So many runs that their buffers would not fit: they become one, in a file of its own.
Result<void> ExternalSort::merge_runs_on_disk() {
  VOUCH_TRY(SpoolFile merged, SpoolFile::create(options_.folder));
  Merge merge{*file_, extents_, options_.merge_bytes};
  VOUCH_CHECK(merge.start());
  while (true) {
    VOUCH_TRY(const char* item, merge.next());
    if (item == nullptr) break;
    VOUCH_CHECK(merged.append({item, packed_bytes(item)}));
  }
  VOUCH_CHECK(merged.flush());
  *file_ = std::move(merged);
  extents_ = {{0, file_->size()}};
  return {};
}

Result<void> ExternalSort::finish() {
  if (!file_) {
    filling_->sort();
    return {};
  }
  if (!filling_->is_empty()) VOUCH_CHECK(spill());
  VOUCH_CHECK(await_spilled());
  filling_.reset();
  spare_.reset();
  merge_ = std::make_unique<Merge>(*file_, extents_, options_.merge_bytes);
  return merge_->start();
}

Result<bool> ExternalSort::next() {
  const char* item = nullptr;
  if (merge_) {
    VOUCH_TRY(item, merge_->next());
  } else {
    item = filling_->take();
  }
  if (item == nullptr) return false;
  item_ = unpack_item(item);
  return true;
}

}  // namespace vouch::store
