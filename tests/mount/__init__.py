"""The script that mounts a share: a real kernel's SMB client and a real SMB server."""
