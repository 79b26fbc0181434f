#include "cli/recipient_display.hpp"

#include <vector>

namespace vouch::cli {
namespace {

constexpr std::size_t kShortIdLetters = 8;
constexpr std::size_t kLettersShown = 2;  // at either end

// Where each UTF-8 character begins.
std::vector<std::size_t> letters_of(std::string_view text) {
  std::vector<std::size_t> starts;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) starts.push_back(i);
  }
  return starts;
}

}  // namespace

std::string mask_recipient(std::string_view recipient_id) {
  const auto starts = letters_of(recipient_id);
  if (starts.size() < 2) return "***";
  if (starts.size() < kShortIdLetters) {
    return std::string{recipient_id.substr(0, starts[1])} + "***";
  }
  return std::string{recipient_id.substr(0, starts[kLettersShown])} + "***" +
         std::string{recipient_id.substr(starts[starts.size() - kLettersShown])};
}

Result<RecipientDisplay> RecipientDisplay::choose(Session& session, bool reveal,
                                                  std::string_view object) {
  if (!reveal) return RecipientDisplay{false};
  VOUCH_TRY(store::ControlStore * control, session.control());
  VOUCH_TRY(const store::OperatorRow who, control->operator_of_account(session.account()));
  if (who.role != "administrator") {
    return fail(Errc::not_permitted, "--reveal: only administrators may see recipient ids whole",
                "you are a " + who.role + "; ask one of those whom `vouchctl operator list` shows");
  }
  VOUCH_CHECK(
      control->record({.operator_name = who.name, .now = session.now()}, "reveal", object, "{}"));
  return RecipientDisplay{true};
}

}  // namespace vouch::cli
