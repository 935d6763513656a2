module(base
  UNITS result secret clock ids encoding scopes principal json log
  LINKS Boost::json Boost::headers)
module(policy
  UNITS operation policy
  DEPENDS base)
