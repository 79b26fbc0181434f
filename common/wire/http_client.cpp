#include "common/wire/http_client.hpp"

#include <arpa/inet.h>
#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <mutex>
#include <vector>

#include "common/result.hpp"

namespace vouch::wire {
namespace {

// One multi handle slows down with the number of calls in it: 1,024 in one cost 2.3 times what
// they cost spread out.
constexpr int kCallsPerMulti = 256;
// Our replies are a few hundred bytes: libcurl's 16 KiB a handle would be most of our memory.
constexpr long kReceiveBufferBytes = 4096;
constexpr long kUploadBufferBytes = 16384;  // the least that libcurl takes

struct FreeEasy {
  void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
};
struct FreeMulti {
  void operator()(CURLM* multi) const noexcept { curl_multi_cleanup(multi); }
};

struct Address {
  int family = AF_UNSPEC;
  std::array<unsigned char, 16> bytes{};
};

Address parse_address(const std::string& text) {
  Address address;
  for (const int family : {AF_INET, AF_INET6}) {
    if (inet_pton(family, text.c_str(), address.bytes.data()) == 1) address.family = family;
  }
  return address;
}

// Whether `ip` lies in "10.0.0.0/8"; an unreadable network holds nothing.
bool in_network(const char* ip, const std::string& cidr) {
  const auto slash = cidr.find('/');
  const Address network = parse_address(cidr.substr(0, slash));
  const Address peer = parse_address(ip == nullptr ? "" : ip);
  if (network.family == AF_UNSPEC || network.family != peer.family) return false;
  int bits = network.family == AF_INET ? 32 : 128;
  if (slash != std::string::npos) {
    std::from_chars(cidr.data() + slash + 1, cidr.data() + cidr.size(), bits);
  }
  for (std::size_t i = 0; bits > 0 && i < 16; ++i, bits -= 8) {
    const int mask = bits >= 8 ? 0xff : 0xff & (0xff << (8 - bits));
    if ((network.bytes[i] & mask) != (peer.bytes[i] & mask)) return false;
  }
  return true;
}

Transport transport_of(CURLcode code) {
  switch (code) {
    case CURLE_OK:
      return Transport::complete;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
      return Transport::unreachable;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
      return Transport::tls;
    case CURLE_OPERATION_TIMEDOUT:
      return Transport::timed_out;
    case CURLE_ABORTED_BY_CALLBACK:
      return Transport::guard;
    default:
      return Transport::broken;
  }
}

// A call and the handle that carries it.  Kept and used again.
struct Slot {
  std::unique_ptr<CURL, FreeEasy> easy;
  std::vector<curl_slist> headers;  // nodes over call.headers: libcurl reads them, and owns none
  HttpCall call;
  HttpCall set;  // what the handle was last told, but for headers and body
  HttpEnd end;
  std::size_t multi = 0;
  std::array<char, CURL_ERROR_SIZE> error{};
};

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto& slot = *static_cast<Slot*>(user);
  const std::size_t n = size * count;
  if (slot.end.body.size() + n > kReplyBytesMax) return 0;  // ends the call as broken
  slot.end.body.append(data, n);
  return n;
}

// The guard.  It counts before it checks anything, since the count is what the protocol trusts.
int on_send(void* user, char* peer_ip, char*, int, int) {
  auto& slot = *static_cast<Slot*>(user);
  if (++slot.end.sends > 1) return CURL_PREREQFUNC_ABORT;
  if (!slot.call.address_allow.empty() && !in_network(peer_ip, slot.call.address_allow)) {
    slot.end.sends = 0;  // no byte has left, and none will
    slot.end.detail = std::string{"peer address "} + peer_ip + " is not allowed";
    return CURL_PREREQFUNC_ABORT;
  }
  return CURL_PREREQFUNC_OK;
}

void set_up(Slot& slot) {
  CURL* easy = slot.easy.get();
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &slot);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &slot);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, &slot);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot.error.data());
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kReceiveBufferBytes);
  curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, kUploadBufferBytes);
  curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 60L);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "vouch/" VOUCH_VERSION);
  curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, nullptr);
}

// The nodes are ours, so that a call allocates none; "Expect:" removes libcurl's own header.
void set_headers(Slot& slot) {
  if (slot.call.body.size() > 1024) slot.call.headers.emplace_back("Expect:");
  slot.headers.clear();
  for (std::string& header : slot.call.headers) slot.headers.push_back({header.data(), nullptr});
  for (std::size_t i = 1; i < slot.headers.size(); ++i) {
    slot.headers[i - 1].next = &slot.headers[i];
  }
  curl_easy_setopt(slot.easy.get(), CURLOPT_HTTPHEADER,
                   slot.headers.empty() ? nullptr : slot.headers.data());
}

bool same_target(const HttpCall& a, const HttpCall& b) {
  return a.url == b.url && a.get == b.get && a.http_allowed == b.http_allowed &&
         a.connect_timeout == b.connect_timeout && a.timeout == b.timeout &&
         a.fresh_connection == b.fresh_connection;
}

// What stays the same from call to call: most calls of a handle go where the last one went.
void set_target(Slot& slot) {
  CURL* easy = slot.easy.get();
  const HttpCall& call = slot.call;
  curl_easy_setopt(easy, CURLOPT_URL, call.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, call.http_allowed ? "http,https" : "https");
  if (call.get) {
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
  } else {
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
  }
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(call.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(call.timeout.count()));
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, call.fresh_connection ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, call.fresh_connection ? 1L : 0L);
  slot.set.url = call.url;
  slot.set.get = call.get;
  slot.set.http_allowed = call.http_allowed;
  slot.set.connect_timeout = call.connect_timeout;
  slot.set.timeout = call.timeout;
  slot.set.fresh_connection = call.fresh_connection;
}

void set_call(Slot& slot) {
  if (!same_target(slot.call, slot.set)) set_target(slot);
  if (!slot.call.get) {
    curl_easy_setopt(slot.easy.get(), CURLOPT_POSTFIELDSIZE,
                     static_cast<long>(slot.call.body.size()));
    curl_easy_setopt(slot.easy.get(), CURLOPT_POSTFIELDS, slot.call.body.data());
  }
  set_headers(slot);
}

void read_end(Slot& slot, CURLcode code) {
  CURL* easy = slot.easy.get();
  HttpEnd& end = slot.end;
  end.tag = slot.call.tag;
  end.curl_code = static_cast<int>(code);
  end.transport = transport_of(code);
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  end.status = static_cast<int>(status);
  curl_off_t total_us = 0;
  curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &total_us);
  end.duration_us = total_us;
  const char* type = nullptr;
  curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
  if (type != nullptr) end.content_type = type;
  curl_header* header = nullptr;
  if ((status == 429 || status == 503) &&
      curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &header) == CURLHE_OK) {
    end.retry_after = header->value;
  }
  if (code != CURLE_OK && end.detail.empty()) {
    end.detail = slot.error[0] != '\0' ? slot.error.data() : curl_easy_strerror(code);
  }
}

void init_library() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

struct HttpClient::State {
  std::vector<std::unique_ptr<CURLM, FreeMulti>> multis;
  std::vector<int> in_multi;  // calls out in each
  std::vector<std::unique_ptr<Slot>> slots;
  std::vector<Slot*> free;
  int calls_max = 0;
  int in_flight = 0;
  bool unsent = false;  // calls were started since the last step, which sends them
};

HttpClient::HttpClient(int calls_max) : state_{std::make_unique<State>()} {
  init_library();
  VOUCH_ASSERT(calls_max > 0);
  state_->calls_max = calls_max;
  const int multis = (calls_max + kCallsPerMulti - 1) / kCallsPerMulti;
  for (int i = 0; i < multis; ++i) {
    state_->multis.emplace_back(curl_multi_init());
    CURLM* multi = state_->multis.back().get();
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(kCallsPerMulti));
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  }
  state_->in_multi.resize(state_->multis.size());
}

HttpClient::~HttpClient() {
  for (const auto& slot : state_->slots) {
    curl_multi_remove_handle(state_->multis[slot->multi].get(), slot->easy.get());
  }
  state_->slots.clear();
}

void HttpClient::start(HttpCall call) {
  State& s = *state_;
  VOUCH_ASSERT(s.in_flight < s.calls_max);
  if (s.free.empty()) {
    auto slot = std::make_unique<Slot>();
    slot->easy.reset(curl_easy_init());
    VOUCH_ASSERT(slot->easy != nullptr);
    set_up(*slot);
    s.free.push_back(slot.get());
    s.slots.push_back(std::move(slot));
  }
  Slot& slot = *s.free.back();
  s.free.pop_back();
  slot.call = std::move(call);
  slot.end = HttpEnd{};
  slot.error[0] = '\0';
  set_call(slot);
  // The first with room: as long as one is enough, the others cost nothing.
  const auto roomy = std::find_if(s.in_multi.begin(), s.in_multi.end(),
                                  [](int calls) { return calls < kCallsPerMulti; });
  slot.multi = static_cast<std::size_t>(roomy - s.in_multi.begin());
  ++*roomy;
  ++s.in_flight;
  s.unsent = true;
  VOUCH_ASSERT(curl_multi_add_handle(s.multis[slot.multi].get(), slot.easy.get()) == CURLM_OK);
}

void HttpClient::step(std::vector<HttpEnd>& ended) {
  State& s = *state_;
  s.unsent = false;
  for (std::size_t i = 0; i < s.multis.size(); ++i) {
    if (s.in_multi[i] == 0) continue;
    CURLM* multi = s.multis[i].get();
    int running = 0;
    curl_multi_perform(multi, &running);
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      Slot* slot = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
      read_end(*slot, code);
      curl_multi_remove_handle(multi, slot->easy.get());
      --s.in_multi[i];
      --s.in_flight;
      ended.push_back(std::move(slot->end));
      s.free.push_back(slot);
    }
  }
}

void HttpClient::wait(Millis limit) {
  State& s = *state_;
  if (s.unsent) return;  // libcurl would return at once, after asking the kernel about every socket
  const int ms = static_cast<int>(std::clamp<std::int64_t>(limit.count(), 0, 60'000));
  int ready = 0;
  if (s.multis.size() == 1) {
    curl_multi_poll(s.multis[0].get(), nullptr, 0, ms, &ready);
    return;
  }
  // Several multis cannot sleep in one call (curl_multi_waitfds came with 8.8): look at all, and
  // sleep a millisecond on the first when none had anything.
  for (std::size_t i = 1; i < s.multis.size(); ++i) {
    if (s.in_multi[i] == 0) continue;
    curl_multi_poll(s.multis[i].get(), nullptr, 0, 0, &ready);
    if (ready > 0) return;
  }
  const bool alone = s.in_flight == s.in_multi[0];
  curl_multi_poll(s.multis[0].get(), nullptr, 0, alone ? ms : std::min(ms, 1), &ready);
}

void HttpClient::wake() {
  curl_multi_wakeup(state_->multis[0].get());
}

int HttpClient::in_flight() const {
  return state_->in_flight;
}

}  // namespace vouch::wire
