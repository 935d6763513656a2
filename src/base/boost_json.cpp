// SPDX-License-Identifier: Apache-2.0
//
// Boost.JSON itself, compiled with the program: every request makes a hundred calls into it,
// which cost more across a shared library.
#include <boost/json/src.hpp>
