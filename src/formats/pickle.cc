#include "formats/pickle.h"

#include "formats/pickle_machine.h"

namespace nibble {
namespace pickle {

Status Machine::step() {
  char op = NB_TRY(take(1))[0];
  switch (op) {
    case '\x80':  // PROTO
      if (NB_TRY(number<uint8_t>()) > 5) return wrong("is of an unknown version");
      return {};
    case '\x95':  // FRAME
      NB_TRY(take(8));
      return {};
    case '.':
      stopped_ = true;
      return {};
    case 'c': {
      std::string_view module = NB_TRY(line());
      return push_global(module, NB_TRY(line()));
    }
    case '\x93':
      return stack_global();
    case 'Q':
      return persistent();
    case 'R':
      return reduce();
    case '\x81':
      return new_object();
    case 'b':
      return build();
    case 'q':
      return remember(NB_TRY(number<uint8_t>()));
    case 'r':
      return remember(NB_TRY(number<uint32_t>()));
    case '\x94':
      return remember(memo_.size());
    case 'h':
      return recall(NB_TRY(number<uint8_t>()));
    case 'j':
      return recall(NB_TRY(number<uint32_t>()));
    default:
      return step_container(op);
  }
}

Status Machine::step_container(char op) {
  switch (op) {
    case '(':
      if (marks_.size() == kMostValues) return wrong("holds more than {} marks", kMostValues);
      marks_.push_back(stack_.size());
      return {};
    case '0':
      NB_TRY(pop());
      return {};
    case '1':
      NB_TRY(pop_mark());
      return {};
    case ')':
      return push({.kind = Kind::kTuple});
    case '}':
      return push({.kind = Kind::kDict});
    case ']':
      return push({.kind = Kind::kList});
    case 't': {
      Node tuple{.kind = Kind::kTuple, .items = NB_TRY(pop_mark())};
      return push(std::move(tuple));
    }
    case '\x85':
    case '\x86':
    case '\x87':
      return push_tuple(static_cast<size_t>(op - '\x85') + 1);
    case 'a': {
      Id item = NB_TRY(pop());
      return extend(Kind::kList, {&item, 1});
    }
    case 'e':
      return extend(Kind::kList, NB_TRY(pop_mark()));
    case 's': {
      Id value = NB_TRY(pop()), key = NB_TRY(pop());
      Id pair[] = {key, value};
      return extend(Kind::kDict, pair);
    }
    case 'u':
      return extend(Kind::kDict, NB_TRY(pop_mark()));
    default:
      return step_value(op);
  }
}

Status Machine::step_value(char op) {
  switch (op) {
    case 'N':
      return push({});
    case '\x88':
      return push_int(1);
    case '\x89':
      return push_int(0);
    case 'J':
      return push_int(NB_TRY(number<int32_t>()));
    case 'K':
      return push_int(NB_TRY(number<uint8_t>()));
    case 'M':
      return push_int(NB_TRY(number<uint16_t>()));
    case '\x8a':
      return push_long(NB_TRY(number<uint8_t>()));
    case 'G':
      NB_TRY(take(8));
      return push({.kind = Kind::kReal});
    case 'X':
    case 'T':
      return push_text(NB_TRY(take(NB_TRY(number<uint32_t>()))));
    case '\x8c':
    case 'U':
      return push_text(NB_TRY(take(NB_TRY(number<uint8_t>()))));
    case '\x8d':
      return push_text(NB_TRY(take(NB_TRY(number<uint64_t>()))));
    default:
      return wrong("has the opcode {:#04x} at byte {}, which no checkpoint of weights needs",
                   static_cast<unsigned>(static_cast<unsigned char>(op)), at_ - 1);
  }
}

}  // namespace pickle

Result<std::vector<PickledTensor>> read_pickled_tensors(std::string_view code,
                                                        const std::string& what) {
  return pickle::Machine(code, what).run();
}

}  // namespace nibble
