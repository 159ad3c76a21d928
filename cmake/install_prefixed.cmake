# Run by "cmake --install" and cpack: the files whose contents follow the prefix.
#   <prefix>/lib/systemd/system/headgate.service    with the paths of this prefix
#   <etc>/headgate/headgate.conf                    the example; one that is there already is never touched
set(bin "${CMAKE_INSTALL_PREFIX}/bin/")
set(etc "${CMAKE_INSTALL_PREFIX}/etc")
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(etc /etc)
endif()

file(READ "${HG_SOURCE}/deploy/headgate.service" unit)
string(REPLACE "/usr/bin/" "${bin}" unit "${unit}")
string(REPLACE "/etc/headgate/" "${etc}/headgate/" unit "${unit}")
file(WRITE "${HG_BINARY}/install/headgate.service" "${unit}")
file(INSTALL DESTINATION "${CMAKE_INSTALL_PREFIX}/lib/systemd/system" TYPE FILE FILES "${HG_BINARY}/install/headgate.service")

# One line more than the example: root's "headgate ctl" would look in its own XDG_RUNTIME_DIR first.
file(READ "${HG_SOURCE}/deploy/headgate.conf.example" conf)
string(REPLACE "#control_socket = \"\"" "control_socket = /run/headgate/headgate.sock" conf "${conf}")
file(WRITE "${HG_BINARY}/install/headgate.conf" "${conf}")
if(NOT EXISTS "$ENV{DESTDIR}${etc}/headgate/headgate.conf")
    file(INSTALL DESTINATION "${etc}/headgate" TYPE FILE FILES "${HG_BINARY}/install/headgate.conf")
endif()
