#include "common/store/code_segment.hpp"

#include <array>
#include <map>

#include "common/embedded.hpp"
#include "common/store/packed_row.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr std::string_view kMeta = "SELECT key, value FROM meta";
constexpr std::string_view kInsertMeta = "INSERT INTO meta (key, value) VALUES (:key, :value)";
constexpr std::string_view kPage = "SELECT codes FROM page WHERE page = ?1";
constexpr std::string_view kPages = "SELECT page, codes FROM page ORDER BY page";
constexpr std::string_view kInsertPage = "INSERT INTO page (page, codes) VALUES (?1, ?2)";

// Raised when an older program could misread what a newer one writes.
constexpr std::string_view kFormat = "1";
constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kDigestBytes = 16;

// A page of codes takes several of these, and wastes little of the last.
constexpr const char* kSettings = R"sql(
  PRAGMA page_size = 4096;
  PRAGMA journal_mode = MEMORY;
  PRAGMA synchronous = OFF;
  PRAGMA locking_mode = EXCLUSIVE;
)sql";

// What the digest begins with; pages follow in their order, then the number of codes.
std::string head_of(const SegmentMeta& meta) {
  std::string head = "vouch pool segment ";
  for (const std::string_view part :
       {kFormat, std::string_view{meta.pool}, std::string_view{meta.fingerprint},
        std::string_view{meta.salt}, std::string_view{meta.origin}}) {
    append_text(head, part);
  }
  return head;
}

void add_page(Sha256& hash, std::string_view sealed) {
  std::string length;
  append_varint(length, sealed.size());
  hash.update(length);
  hash.update(sealed);
}

std::string finish(Sha256& hash, std::int64_t codes) {
  hash.update("codes " + std::to_string(codes));
  const Digest256 digest = hash.finish();
  return hex(std::span{digest}.first(kDigestBytes));
}

std::string_view as_text(Blob blob) {
  return {reinterpret_cast<const char*>(blob.data()), blob.size()};
}

}  // namespace

Result<CodeSegment> CodeSegment::open(const std::string& path) {
  auto database = Database::open(path, {.mode = OpenMode::read_only, .vfs = {}});
  if (!database && database.error().code == Errc::store) {
    return fail(Errc::not_found, path + ": no such segment of a pool, or not readable",
                "restore it from a backup; `vouchctl store check` tells what is missing");
  }
  if (!database) return tl::unexpected<Error>(std::move(database).error());
  CodeSegment segment{std::move(*database)};
  VOUCH_CHECK(segment.read_meta());
  return segment;
}

CodeSegment::~CodeSegment() {
  wipe(text_);
}

Result<void> CodeSegment::read_meta() {
  VOUCH_CHECK(check_migrated(database_, embedded::pool_migrations));
  std::map<std::string, std::string> rows;
  Statement& select = database_.prepared(kMeta);
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) break;
    rows.emplace(select.string(0), select.string(1));
  }
  if (rows["format"] != kFormat) {
    return fail(Errc::store, database_.path() + ": is a segment of format " + rows["format"],
                "it was sealed by another version of vouch; use that version");
  }
  meta_.digest = rows["digest"];
  meta_.pool = rows["pool"];
  meta_.fingerprint = rows["fingerprint"];
  meta_.salt = rows["salt"];
  meta_.origin = rows["origin"];
  const auto codes = parse_integer(rows["codes"]);
  if (!codes || *codes < 0) return fail(Errc::corrupt, database_.path() + ": has no count");
  meta_.codes = *codes;
  return {};
}

Result<void> CodeSegment::unlock(const PoolKey& key) {
  VOUCH_CHECK(key.check(meta_.fingerprint, "the segment " + meta_.digest));
  Digest256 own = key.segment_key(meta_.salt);
  box_.emplace(own);
  wipe(own);
  return {};
}

Result<std::string_view> CodeSegment::code(std::int64_t ordinal) {
  VOUCH_ASSERT(box_ && ordinal >= 0 && ordinal < meta_.codes);
  if (ordinal / kPageCodes != page_) {
    auto read = read_page(ordinal / kPageCodes);
    if (!read) return within(database_.path(), std::move(read).error());
  }
  const auto place = static_cast<std::size_t>(ordinal % kPageCodes);
  if (place < codes_.size() && !codes_[place].empty()) return codes_[place];
  return fail(Errc::corrupt,
              database_.path() + ": has no code of the ordinal " + std::to_string(ordinal));
}

Result<void> CodeSegment::read_page(std::int64_t page) {
  page_ = -1;
  codes_.clear();
  Statement& select = database_.prepared(kPage).bind(1, page);
  VOUCH_TRY(const bool found, select.step());
  if (!found) return fail(Errc::corrupt, "the page " + std::to_string(page) + " is missing");
  const std::string sealed{as_text(select.blob(0))};
  select.reset();
  VOUCH_CHECK(box_->open(static_cast<std::uint64_t>(page), sealed, text_));
  for (std::string_view rest = text_; !rest.empty();) codes_.push_back(take_text(rest));
  page_ = page;
  return {};
}

Result<void> CodeSegment::verify() {
  Sha256 hash;
  hash.update(head_of(meta_));
  std::int64_t pages = 0;
  Statement& select = database_.prepared(kPages);
  while (true) {
    VOUCH_TRY(const bool more, select.step());
    if (!more) break;
    if (select.integer(0) == pages) add_page(hash, as_text(select.blob(1)));
    ++pages;
  }
  const std::int64_t wanted = (meta_.codes + kPageCodes - 1) / kPageCodes;
  if (pages == wanted && finish(hash, meta_.codes) == meta_.digest) return {};
  return fail(Errc::corrupt, database_.path() + ": is not as it was sealed",
              "restore it from a backup; hand out no code of it meanwhile");
}

CodeSegmentWriter::CodeSegmentWriter(Database database, SegmentMeta meta, const Digest256& key)
    : database_{std::move(database)},
      meta_{std::move(meta)},
      box_{key},
      hash_{std::make_unique<Sha256>()} {
  hash_->update(head_of(meta_));
}

CodeSegmentWriter::~CodeSegmentWriter() {
  wipe(page_text_);
}

Result<CodeSegmentWriter> CodeSegmentWriter::create(const std::string& path, std::string_view pool,
                                                    std::string_view origin, const PoolKey& key,
                                                    Random& random, WallTime now) {
  VOUCH_TRY(Database database,
            Database::open(path, {.mode = OpenMode::create, .vfs = {}, .cache_kib = 4096}));
  VOUCH_CHECK(database.exec(kSettings));
  VOUCH_CHECK(migrate(database, embedded::pool_migrations, now));
  // One transaction for all: its pages are new, so the journal in memory stays empty.
  VOUCH_CHECK(database.exec("BEGIN IMMEDIATE"));
  std::array<std::uint8_t, kSaltBytes> salt{};
  random.fill(std::as_writable_bytes(std::span{salt}));
  SegmentMeta meta{.digest = {},
                   .pool = std::string{pool},
                   .fingerprint = key.fingerprint(),
                   .salt = hex(salt),
                   .codes = 0,
                   .origin = std::string{origin}};
  Digest256 own = key.segment_key(meta.salt);
  CodeSegmentWriter writer{std::move(database), std::move(meta), own};
  wipe(own);
  return writer;
}

Result<void> CodeSegmentWriter::add(std::string_view code) {
  VOUCH_ASSERT(!code.empty() && code.size() <= kCodeBytesMax);
  append_text(page_text_, code);
  return ++meta_.codes % kPageCodes == 0 ? write_page() : Result<void>{};
}

Result<void> CodeSegmentWriter::write_page() {
  const std::int64_t page = (meta_.codes - 1) / kPageCodes;
  box_.seal(static_cast<std::uint64_t>(page), page_text_, sealed_);
  wipe(page_text_);
  add_page(*hash_, sealed_);
  return database_.prepared(kInsertPage).bind(1, page).bind(2, as_blob(sealed_)).run();
}

Result<SegmentMeta> CodeSegmentWriter::finish() {
  if (!page_text_.empty()) VOUCH_CHECK(write_page());
  VOUCH_CHECK(database_.exec("COMMIT"));
  meta_.digest = store::finish(*hash_, meta_.codes);
  const std::pair<const char*, std::string> rows[] = {
      {"format", std::string{kFormat}},      {"digest", meta_.digest}, {"pool", meta_.pool},
      {"fingerprint", meta_.fingerprint},    {"salt", meta_.salt},     {"origin", meta_.origin},
      {"codes", std::to_string(meta_.codes)}};
  // The one commit that syncs, and with it everything that was written before.
  VOUCH_CHECK(database_.exec("PRAGMA synchronous = FULL; BEGIN IMMEDIATE"));
  for (const auto& [key, value] : rows) {
    VOUCH_CHECK(database_.prepared(kInsertMeta).bind(":key", key).bind(":value", value).run());
  }
  VOUCH_CHECK(database_.exec("COMMIT"));
  return meta_;
}

}  // namespace vouch::store
