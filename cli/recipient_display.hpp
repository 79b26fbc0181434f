// recipient_display.hpp: recipients as people may see them.
//
// Ids are masked in every output; an administrator may ask for them whole, which is audited before
// the first is shown.  Files that give a partner's rows back hold them as they came.
//
// Threads: main's.
// Errors:  not_permitted for --reveal by anybody else.
#pragma once

#include <string>
#include <string_view>

#include "cli/session.hpp"

namespace vouch::cli {

// Enough to recognise a recipient one knows, too little to learn one: "cu***17"; ids of less than
// eight characters keep only their first.
[[nodiscard]] std::string mask_recipient(std::string_view recipient_id);

class RecipientDisplay {
 public:
  // `object` is what is looked at, for the audit: "list november".
  [[nodiscard]] static Result<RecipientDisplay> choose(Session& session, bool reveal,
                                                       std::string_view object);
  [[nodiscard]] std::string of(std::string_view recipient_id) const {
    return reveal_ ? std::string{recipient_id} : mask_recipient(recipient_id);
  }

 private:
  explicit RecipientDisplay(bool reveal) : reveal_{reveal} {}
  bool reveal_;
};

inline constexpr const char* kRevealHelp =
    "show recipient ids whole: administrators only, and audited";

}  // namespace vouch::cli
