//! Names of techniques of MITRE ATT&CK, version 17 (enterprise), as far as our rules name them.

/// The name of a technique such as `T1053.003`.
pub(crate) fn name(technique: &str) -> Option<&'static str> {
    let place = TECHNIQUES.binary_search_by_key(&technique, |(id, _)| *id).ok()?;
    TECHNIQUES.get(place).map(|(_, name)| *name)
}

/// In the order of their identifiers.
const TECHNIQUES: &[(&str, &str)] = &[
    ("T1003.008", "/etc/passwd and /etc/shadow"),
    ("T1016", "System Network Configuration Discovery"),
    ("T1027", "Obfuscated Files or Information"),
    ("T1027.002", "Software Packing"),
    ("T1033", "System Owner/User Discovery"),
    ("T1036", "Masquerading"),
    ("T1036.004", "Masquerade Task or Service"),
    ("T1037", "Boot or Logon Initialization Scripts"),
    ("T1037.004", "RC Scripts"),
    ("T1040", "Network Sniffing"),
    ("T1041", "Exfiltration Over C2 Channel"),
    ("T1046", "Network Service Discovery"),
    ("T1049", "System Network Connections Discovery"),
    ("T1053.003", "Cron"),
    ("T1055.008", "Ptrace System Calls"),
    ("T1057", "Process Discovery"),
    ("T1059.004", "Unix Shell"),
    ("T1070.002", "Clear Linux or Mac System Logs"),
    ("T1070.003", "Clear Command History"),
    ("T1070.004", "File Deletion"),
    ("T1071", "Application Layer Protocol"),
    ("T1071.004", "DNS"),
    ("T1078.001", "Default Accounts"),
    ("T1082", "System Information Discovery"),
    ("T1090", "Proxy"),
    ("T1098.004", "SSH Authorized Keys"),
    ("T1105", "Ingress Tool Transfer"),
    ("T1110.001", "Password Guessing"),
    ("T1124", "System Time Discovery"),
    ("T1136.001", "Local Account"),
    ("T1140", "Deobfuscate/Decode Files or Information"),
    ("T1204.002", "Malicious File"),
    ("T1210", "Exploitation of Remote Services"),
    ("T1222.002", "Linux and Mac File and Directory Permissions Modification"),
    ("T1480", "Execution Guardrails"),
    ("T1485", "Data Destruction"),
    ("T1486", "Data Encrypted for Impact"),
    ("T1489", "Service Stop"),
    ("T1495", "Firmware Corruption"),
    ("T1496", "Resource Hijacking"),
    ("T1497.001", "System Checks"),
    ("T1497.003", "Time Based Evasion"),
    ("T1498", "Network Denial of Service"),
    ("T1498.001", "Direct Network Flood"),
    ("T1499", "Endpoint Denial of Service"),
    ("T1499.002", "Service Exhaustion Flood"),
    ("T1518.001", "Security Software Discovery"),
    ("T1529", "System Shutdown/Reboot"),
    ("T1543.002", "Systemd Service"),
    ("T1546.004", "Unix Shell Configuration Modification"),
    ("T1547.006", "Kernel Modules and Extensions"),
    ("T1548.001", "Setuid and Setgid"),
    ("T1552.001", "Credentials In Files"),
    ("T1552.004", "Private Keys"),
    ("T1554", "Compromise Host Software Binary"),
    ("T1561.001", "Disk Content Wipe"),
    ("T1562", "Impair Defenses"),
    ("T1562.001", "Disable or Modify Tools"),
    ("T1562.004", "Disable or Modify System Firewall"),
    ("T1564.001", "Hidden Files and Directories"),
    ("T1565.001", "Stored Data Manipulation"),
    ("T1568.002", "Domain Generation Algorithms"),
    ("T1571", "Non-Standard Port"),
    ("T1574.006", "Dynamic Linker Hijacking"),
    ("T1595", "Active Scanning"),
    ("T1595.001", "Scanning IP Blocks"),
    ("T1620", "Reflective Code Loading"),
    ("T1622", "Debugger Evasion"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        assert!(TECHNIQUES.is_sorted());
        assert_eq!((name("T1053.003"), name("T9999")), (Some("Cron"), None));
    }
}
