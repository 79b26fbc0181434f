// json_pointers.hpp: the scalars at some JSON pointers (RFC 6901) of a text, read as they come by,
// without a document.  Included by .cpp files only, since it brings nlohmann's header with it.
//
// Of the whole text, or of each element of one array in it: then the pointers begin at the element.
//
// Threads: one owner; buffers are kept from one text to the next.
// Errors:  a text is sound or it is not: well-formed, at most kJsonDepthMax deep, nothing that was
//          wanted stands in it twice, and no element is larger than kElementBytesMax.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.hpp"

namespace vouch::plan {

// Of an element as element() has it: each member costs its whole pointer, so that a text of a
// megabyte could grow a hundred thousandfold.
inline constexpr std::size_t kElementBytesMax = 64 * 1024;

class JsonPointers final : public nlohmann::json_sax<nlohmann::json> {
 public:
  void reset();
  // The pointer's own text must last until the next reset; an empty one is passed over.
  void want(std::string_view pointer);

  // Whether the text is sound.
  [[nodiscard]] bool parse(std::string_view text);
  // Calls `on_element` at the end of each element of the array at `array`; what has come by until
  // then counts only when the text turns out to be sound.  False also when there is no such array,
  // or two.
  [[nodiscard]] bool parse_each(std::string_view text, std::string_view array,
                                const std::function<void()>& on_element);

  // Null when nothing stood there.
  [[nodiscard]] const std::string* value(std::string_view pointer) const;
  // Whether what stands there is a string or a number, rather than true, null or an object.
  [[nodiscard]] bool is_text(std::string_view pointer) const;
  // Of the element that has just ended: "pointer=value" of its members, a line each.
  [[nodiscard]] const std::string& element() const { return element_; }

  // What the parser calls.
  bool null() override { return scalar("null", false); }
  bool boolean(bool value) override { return scalar(value ? "true" : "false", false); }
  bool number_integer(number_integer_t value) override { return scalar(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return scalar(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return scalar(text); }
  bool string(string_t& value) override { return scalar(value); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return enter(false); }
  bool end_object() override { return leave(); }
  bool start_array(std::size_t) override { return enter(true); }
  bool end_array() override { return leave(); }
  bool key(string_t& name) override;
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  struct Wanted {
    std::string_view pointer;
    std::string value;
    bool seen = false;
    bool text = false;  // a string or a number
  };
  struct Level {
    std::size_t path_bytes = 0;  // of the container itself
    bool array = false;
    std::size_t index = 0;
  };
  // The array whose elements are wanted one by one.
  struct Each {
    std::string_view pointer;
    const std::function<void()>& on_element;
    bool met = false;       // whatever stands there
    bool seen = false;      // and it is an array
    std::size_t level = 0;  // how deep its elements lie; 0: outside of it
    std::size_t base = 0;   // bytes of the path before what is the element's own
    bool inside = false;    // of an element
  };

  [[nodiscard]] const Wanted* find(std::string_view pointer) const;
  void step_into_element();
  void end_element();
  bool enter(bool array);
  bool leave();
  bool scalar(std::string_view value, bool text = true);
  bool see(std::string_view value, bool text);
  [[nodiscard]] bool at_element() const {
    return each_ != nullptr && each_->inside && levels_.size() == each_->level;
  }

  std::vector<Wanted> wanted_;  // the first wanted_count_; the others keep their memory
  std::size_t wanted_count_ = 0;
  std::string path_;
  std::vector<Level> levels_;
  Each* each_ = nullptr;
  std::string element_;
};

}  // namespace vouch::plan
