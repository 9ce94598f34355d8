"""The client of Cisco's Secure Key Integration Protocol (draft-cisco-skip)."""
