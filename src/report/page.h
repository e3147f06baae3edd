// The frame of every page that nibble writes: one file, no script, nothing from elsewhere.
#pragma once

#include <string>

namespace nibble {

// `title` is text, `body` HTML. Readable on a telephone, light or dark as the reader's system is.
std::string html_page(const std::string& title, const std::string& body);

}  // namespace nibble
